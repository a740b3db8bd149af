//! The graph against the exact search, on sets of every shape.

use std::collections::HashSet;

use proptest::prelude::*;
use roaring::RoaringBitmap;
use tempfile::tempdir;
use vectors::{
    Builder, Codes, Effort, Exact, Graph, GraphSettings, Nearest, Neighbour, VectorError, Vectors, Walk,
};

use crate::data::{Random, coded, stored};

/// Few links, so that sets of some thousand rows are walked and not scanned.
const SETTINGS: GraphSettings = GraphSettings {
    m: 8,
    ef_construction: 100,
    seed: 7,
    threads: 1,
    builder: Builder::Cloze,
};

/// Rows that can be reached from the entry point along links of level 0.
fn reachable(graph: &Graph) -> usize {
    if graph.about().rows == 0 {
        return 0;
    }
    let mut met = HashSet::from([graph.about().entry]);
    let mut open = vec![graph.about().entry];
    while let Some(row) = open.pop() {
        open.extend(graph.links(0, row).iter().filter(|&&to| met.insert(to)));
    }
    met.len()
}

/// Share of the exact answers' rows that are in the others, over all queries.
fn recall(exact: &[Vec<Neighbour>], found: &[Vec<Neighbour>]) -> f64 {
    let wanted: usize = exact.iter().map(Vec::len).sum();
    let hits = exact.iter().zip(found).map(|(exact, found)| {
        let rows: HashSet<u32> = found.iter().map(|n| n.row).collect();
        exact.iter().filter(|n| rows.contains(&n.row)).count()
    });
    hits.sum::<usize>() as f64 / wanted.max(1) as f64
}

/// What every answer has to be: full, allowed, in order, without repetition, with the right scores.
fn check_answer(
    vectors: &Vectors,
    query: &[f32],
    k: usize,
    allowed: Option<&RoaringBitmap>,
    found: &[Neighbour],
) {
    let matching = allowed.map_or(u64::from(vectors.len()), |a| {
        a.range_cardinality(0..vectors.len())
    });
    assert_eq!(found.len() as u64, matching.min(k as u64));
    assert!(
        found
            .iter()
            .all(|n| allowed.is_none_or(|allowed| allowed.contains(n.row)))
    );
    for n in found {
        let exact = kernels::scalar::dot(query, vectors.row(n.row));
        assert!((n.score - exact).abs() < 1e-4, "{n:?}: {exact}");
    }
    for pair in found.windows(2) {
        let in_order =
            pair[0].score > pair[1].score || (pair[0].score == pair[1].score && pair[0].row < pair[1].row);
        assert!(in_order, "{pair:?}");
    }
}

struct Set {
    vectors: Vectors,
    codes: Codes,
    graph: Graph,
    queries: Vec<Vec<f32>>,
    _folder: tempfile::TempDir,
}

fn clustered(rows: usize, settings: &GraphSettings) -> Set {
    let folder = tempdir().unwrap();
    let mut random = Random(11);
    let mut all = random.clustered(rows + 100, 24, 40);
    let queries = all.split_off(rows);
    let vectors = stored(&folder.path().join("vectors"), &all, 24);
    let codes = coded(&vectors, folder.path());
    let graph = Graph::build(&vectors, &codes, settings).unwrap();
    assert_eq!(reachable(&graph), rows);
    Set {
        vectors,
        codes,
        graph,
        queries,
        _folder: folder,
    }
}

impl Set {
    fn walk(&self, ef: usize) -> Walk<'_> {
        Walk::new(&self.vectors, &self.codes, &self.graph, Effort::Ef(ef)).unwrap()
    }

    /// Asks for ever more recall and finds as much, within a hundredth.
    fn expect_wanted_recall(&self, queries: &[Vec<f32>]) {
        let answers = |search: &dyn Nearest| {
            let answer = |query: &Vec<f32>| search.nearest(query, 10, None).unwrap();
            queries.iter().map(answer).collect::<Vec<_>>()
        };
        let truth = answers(&Exact::new(&self.vectors));
        for wanted in [0.8, 0.9, 0.95, 0.98, 0.99, 1.0] {
            let effort = Effort::Recall(wanted);
            let walk = Walk::new(&self.vectors, &self.codes, &self.graph, effort).unwrap();
            assert_eq!(walk.ef(10).is_none(), wanted == 1.0);
            let recall = recall(&truth, &answers(&walk));
            assert!(recall >= wanted - 0.01, "{wanted}: {recall}");
        }
    }

    /// Recall of the first 10, with every answer checked.
    fn recall(&self, ef: usize, allowed: Option<&RoaringBitmap>) -> f64 {
        let exact = Exact::new(&self.vectors);
        let walk = self.walk(ef);
        let answers = |search: &dyn Nearest| {
            let answer = |query: &Vec<f32>| search.nearest(query, 10, allowed).unwrap();
            self.queries.iter().map(answer).collect::<Vec<_>>()
        };
        let (exact, found) = (answers(&exact), answers(&walk));
        for (query, found) in self.queries.iter().zip(&found) {
            check_answer(&self.vectors, query, 10, allowed, found);
        }
        recall(&exact, &found)
    }
}

#[test]
fn a_walk_finds_nine_of_ten() {
    let set = clustered(5_000, &SETTINGS);
    // So wide a walk that it would cost more than to compare with all rows.
    assert_eq!(set.recall(1_000, None), 1.0);
    let recalls: Vec<f64> = [10, 40, 100].iter().map(|&ef| set.recall(ef, None)).collect();
    assert!(recalls[1] >= 0.9 && recalls[2] >= 0.98, "{recalls:?}");
    assert!(recalls[0] < recalls[1], "a narrower walk finds less: {recalls:?}");
}

#[test]
fn a_walk_under_a_filter_finds_nine_of_ten() {
    let set = clustered(5_000, &SETTINGS);
    let mut random = Random(3);
    for share in [1, 10, 50, 70, 90, 99, 100] {
        let allowed = (0..5_000).filter(|_| random.below(100) < share).collect();
        let recall = set.recall(20, Some(&allowed));
        assert!(recall >= 0.9, "{share} %: {recall}");
    }
}

/// The allowed rows are those farthest from the query, where a walk comes last.
#[test]
fn a_filter_that_is_against_the_query() {
    let set = clustered(5_000, &SETTINGS);
    let walk = set.walk(10);
    for query in set.queries.iter().take(20) {
        let mut all = Exact::new(&set.vectors).nearest(query, 5_000, None).unwrap();
        let allowed: RoaringBitmap = all.split_off(3_000).iter().map(|n| n.row).collect();
        let found = walk.nearest(query, 10, Some(&allowed)).unwrap();
        check_answer(&set.vectors, query, 10, Some(&allowed), &found);
    }
}

#[test]
fn a_wanted_recall_is_reached() {
    let set = clustered(5_000, &SETTINGS);
    let measured = set.graph.measured();
    assert!(
        measured.is_sorted_by(|a, b| a.ef < b.ef && a.recall <= b.recall),
        "{measured:?}"
    );
    set.expect_wanted_recall(&set.queries);
}

/// Questions are not passages: these lie as far from the row they stand for as noise of its length takes them.
#[test]
fn a_wanted_recall_is_reached_by_queries_of_another_kind_than_the_rows() {
    let set = clustered(5_000, &SETTINGS);
    let mut random = Random(23);
    let queries: Vec<_> = (0..300)
        .map(|_| {
            let row = random.below(5_000) as u32;
            random.near(set.vectors.row(row), 1.0)
        })
        .collect();
    set.expect_wanted_recall(&queries);
}

#[test]
fn hnsw_rs_builds_as_good_a_graph() {
    let theirs = clustered(
        5_000,
        &GraphSettings {
            builder: Builder::HnswRs,
            ..SETTINGS
        },
    );
    let ours = clustered(5_000, &SETTINGS);
    let (theirs, ours) = (theirs.recall(40, None), ours.recall(40, None));
    assert!(theirs >= 0.9 && ours >= theirs - 0.01, "{ours} against {theirs}");
}

#[test]
fn one_thread_gives_the_same_graph_again() {
    let set = clustered(2_000, &SETTINGS);
    let links = |graph: &Graph| {
        (0..2_000)
            .map(|row| graph.links(0, row).to_vec())
            .collect::<Vec<_>>()
    };
    let again = Graph::build(&set.vectors, &set.codes, &SETTINGS).unwrap();
    assert_eq!(
        (links(&set.graph), set.graph.about()),
        (links(&again), again.about())
    );
    let other = Graph::build(&set.vectors, &set.codes, &GraphSettings { seed: 8, ..SETTINGS }).unwrap();
    assert_ne!(links(&set.graph), links(&other));
}

/// Builds in which threads are in one another's way; `CLOZE_GRAPH_BUILDS` says how many.
#[test]
fn many_threads_lose_no_row() {
    let builds = std::env::var("CLOZE_GRAPH_BUILDS").map_or(5, |builds| builds.parse().unwrap());
    for seed in 0..builds {
        let set = clustered(
            3_000,
            &GraphSettings {
                threads: 8,
                seed,
                ..SETTINGS
            },
        );
        let recall = set.recall(100, None);
        assert!(recall >= 0.9, "{recall}");
    }
}

#[test]
fn searches_at_the_same_time_do_not_disturb_one_another() {
    let set = clustered(3_000, &SETTINGS);
    let walk = set.walk(50);
    let answers = || {
        set.queries
            .iter()
            .map(|q| walk.nearest(q, 10, None).unwrap())
            .collect::<Vec<_>>()
    };
    let alone = answers();
    std::thread::scope(|scope| {
        let others: Vec<_> = (0..4).map(|_| scope.spawn(answers)).collect();
        for other in others {
            assert_eq!(other.join().unwrap(), alone);
        }
    });
}

/// Many times more rows than a walk keeps, all the same or of a few kinds: each has to be reachable.
#[test]
fn equal_rows_are_all_reachable() {
    let mut random = Random(5);
    let kinds: Vec<Vec<f32>> = (0..300).map(|_| random.vector(8)).collect();
    for (rows, kinds) in [
        (3_000, &kinds[..1]),
        (3_000, &kinds[..2]),
        (3_000, &kinds[..]),
        (20, &kinds[..1]),
    ] {
        let folder = tempdir().unwrap();
        let all: Vec<Vec<f32>> = (0..rows).map(|row| kinds[row % kinds.len()].clone()).collect();
        let vectors = stored(&folder.path().join("vectors"), &all, 8);
        let codes = coded(&vectors, folder.path());
        for threads in [1, 4] {
            let graph = Graph::build(&vectors, &codes, &GraphSettings { threads, ..SETTINGS }).unwrap();
            assert_eq!(reachable(&graph), rows);
            let walk = Walk::new(&vectors, &codes, &graph, Effort::Ef(10)).unwrap();
            for k in [1, 10, 100, rows] {
                let found = walk.nearest(&kinds[0], k, None).unwrap();
                check_answer(&vectors, &kinds[0], k, None, &found);
                assert!(found[0].score > 0.999);
            }
        }
    }
}

#[test]
fn sets_of_hardly_any_rows() {
    let folder = tempdir().unwrap();
    let rows = [vec![1.0, 0.0], vec![0.0, 1.0], vec![1.0, 0.0]];
    for count in 0..=rows.len() {
        let vectors = stored(&folder.path().join(count.to_string()), &rows[..count], 2);
        let codes = coded(&vectors, folder.path());
        for threads in [1, 3] {
            let built = Graph::build(
                &vectors,
                &codes,
                &GraphSettings {
                    threads,
                    m: 2,
                    ..SETTINGS
                },
            )
            .unwrap();
            assert_eq!(reachable(&built), count);
            let path = folder.path().join("graph");
            built.write(&path).unwrap();
            for graph in [built, Graph::open(&path).unwrap()] {
                let walk = Walk::new(&vectors, &codes, &graph, Effort::Ef(1)).unwrap();
                for k in [0, 1, 2, 3, 4, usize::MAX] {
                    let found = walk.nearest(&rows[0], k, None).unwrap();
                    check_answer(&vectors, &rows[0], k, None, &found);
                }
            }
        }
    }
}

#[test]
fn a_graph_comes_back_as_it_went() {
    let set = clustered(1_000, &SETTINGS);
    let folder = tempdir().unwrap();
    let path = folder.path().join("graph");
    set.graph.write(&path).unwrap();
    let opened = Graph::open(&path).unwrap();
    assert_eq!(opened.about(), set.graph.about());
    assert_eq!(opened.levels(), set.graph.levels());
    assert!(opened.levels() > 1);
    for level in 0..opened.levels() {
        assert!((0..1_000).all(|row| opened.links(level, row) == set.graph.links(level, row)));
        assert!((0..1_000).any(|row| !opened.links(level, row).is_empty()) || level > 1);
    }
    let (built, opened) = (
        set.walk(20),
        Walk::new(&set.vectors, &set.codes, &opened, Effort::Ef(20)).unwrap(),
    );
    for query in &set.queries {
        let answer = |walk: &Walk<'_>| walk.nearest(query, 10, None).unwrap();
        assert_eq!(answer(&built), answer(&opened));
    }
}

#[test]
fn a_graph_serves_only_the_vectors_it_was_built_from() {
    let set = clustered(300, &SETTINGS);
    let folder = tempdir().unwrap();
    let mut random = Random(9);
    let others: Vec<Vec<f32>> = (0..300).map(|_| random.vector(24)).collect();
    let others = stored(&folder.path().join("others"), &others, 24);
    assert!(matches!(
        Walk::new(
            &others,
            &coded(&others, folder.path()),
            &set.graph,
            Effort::Ef(10)
        ),
        Err(VectorError::OtherVectors { .. })
    ));
    for ef in [0, vectors::EF_MAX + 1] {
        let refused = Walk::new(&set.vectors, &set.codes, &set.graph, Effort::Ef(ef));
        assert!(matches!(refused, Err(VectorError::Setting { field: "ef", .. })));
    }
    for recall in [-0.1, 1.1, f64::NAN] {
        let refused = Walk::new(&set.vectors, &set.codes, &set.graph, Effort::Recall(recall));
        assert!(matches!(refused, Err(VectorError::Recall { .. })));
    }
    let walk = set.walk(10);
    assert!(matches!(
        walk.nearest(&[1.0], 1, None),
        Err(VectorError::Dimension { .. })
    ));
    assert!(matches!(
        walk.nearest(&[0.0; 24], 1, None),
        Err(VectorError::ZeroLength)
    ));
    assert!(matches!(
        Graph::build(&set.vectors, &set.codes, &GraphSettings { m: 300, ..SETTINGS }),
        Err(VectorError::Setting {
            field: "m",
            value: 300,
            ..
        })
    ));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn every_answer_is_full_allowed_and_in_order(
        seed in any::<u64>(),
        rows in 1_usize..400,
        kinds in 1_usize..400,
        m in 2_usize..6,
        threads in 1_usize..3,
        ef in 1_usize..30,
        builder in prop::sample::select(vec![Builder::Cloze, Builder::HnswRs]),
        k in 0_usize..50,
        share in prop::option::of(0_usize..=100),
    ) {
        let folder = tempdir()?;
        let mut random = Random(seed);
        let kinds: Vec<Vec<f32>> = (0..kinds).map(|_| random.vector(6)).collect();
        let all: Vec<Vec<f32>> = (0..rows).map(|_| kinds[random.below(kinds.len())].clone()).collect();
        let vectors = stored(&folder.path().join("vectors"), &all, 6);
        let settings = GraphSettings { m, ef_construction: 20, seed, threads, builder };
        let codes = coded(&vectors, folder.path());
        let graph = Graph::build(&vectors, &codes, &settings).unwrap();
        prop_assert_eq!(reachable(&graph), rows);
        let walk = Walk::new(&vectors, &codes, &graph, Effort::Ef(ef)).unwrap();
        // Ten rows that do not exist are allowed as well.
        let allowed = share.map(|share| {
            (0..rows as u32 + 10).filter(|_| random.below(100) < share).collect::<RoaringBitmap>()
        });
        for _ in 0..10 {
            let query = random.vector(6);
            let found = walk.nearest(&query, k, allowed.as_ref()).unwrap();
            check_answer(&vectors, &query, k, allowed.as_ref(), &found);
        }
    }
}
