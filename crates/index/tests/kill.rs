//! A process that writes to an index is killed at any moment, and another one finds what was acknowledged.
//!
//! ```text
//! CLOZE_KILL_TRIALS=3072 cargo test --release -p index --test kill
//! ```
//! Each trial starts this program once more as a writer, which tells what it is about to do and what is done, and
//! kills it (SIGKILL): at a random time after it started, or after it began some named step. The next writer begins
//! by reading the whole index: it has to be the last commit that was acknowledged, or the one that was under way,
//! with every file as it should be, and it goes on from there.
#![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]
#![allow(clippy::print_stdout, reason = "the two processes talk over pipes")]

mod common;

use std::collections::BTreeMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use common::{document, id, settings};
use corpus::{MatchingQuery, QueryText, ReadStore, WriteStore};
use index::{Index, MergeSettings, WriterSettings, verify};
use libtest_mimic::{Arguments, Trial};
use serde_json::json;

/// Set for the process that writes: the seed of what it does.
const CHILD: &str = "CLOZE_KILL_CHILD";
const FOLDER: &str = "CLOZE_KILL_FOLDER";
const TRIALS: &str = "CLOZE_KILL_TRIALS";
/// Ids of documents are below this.
const IDS: u64 = 40;
/// Steps after whose beginning a writer is killed.
const STEPS: [&str; 7] = ["open", "add", "delete", "commit", "copy", "merge", "replace"];

fn main() -> ExitCode {
    if let Ok(seed) = std::env::var(CHILD) {
        write(Path::new(&std::env::var(FOLDER).unwrap()), seed.parse().unwrap());
        return ExitCode::SUCCESS;
    }
    let trials = std::env::var(TRIALS).map_or(32, |trials| trials.parse().unwrap());
    let test = Trial::test("killed_writers_lose_nothing", move || {
        kill_loop(trials);
        Ok(())
    });
    libtest_mimic::run(&Arguments::from_args(), vec![test]).exit_code()
}

/// Small numbers at random (SplitMix64, Steele and others 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

/// The documents by id, each with the number of the word that is its own.
type Model = BTreeMap<u64, u64>;

fn digest(model: &Model) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(model)
}

fn tell(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").unwrap();
    out.flush().unwrap();
}

/// What is on disk, every byte and every document of it.
fn read(folder: &Path, index: &Index) -> Model {
    assert_eq!(verify(folder).unwrap().problems, []);
    let snapshot = index.snapshot().unwrap();
    let mut model = Model::new();
    for prepared in snapshot.documents() {
        let prepared = prepared.unwrap();
        let number = |text: &str| text.split('w').nth(1)?.split(' ').next()?.parse::<u64>().ok();
        let word = number(&prepared.document.text).unwrap();
        let n: u64 = prepared.document.id.as_str().parse().unwrap();
        let expected = written(n, word);
        assert_eq!(prepared, expected, "not half a document");
        assert_eq!(model.insert(n, word), None, "once");
    }
    let query = MatchingQuery {
        words: QueryText::plain("common"),
        k: 10_000,
        filter: None,
    };
    let passages: u64 = model.keys().map(|n| 1 + n % 3).sum();
    assert_eq!(snapshot.matching(&query).unwrap().len() as u64, passages);
    model
}

fn written(n: u64, word: u64) -> corpus::PreparedDocument {
    let text = format!("w{word} common");
    let texts = vec![text.as_str(); 1 + n as usize % 3];
    document(n as usize, "Title", &texts, json!({"word": word}))
}

/// The process that is killed: reads what is there, then writes on and on.
fn write(folder: &Path, seed: u64) {
    let mut random = Random(seed);
    tell("open");
    let index = Index::open_or_create(&folder.join("index"), settings()).unwrap();
    let mut committed = read(&folder.join("index"), &index);
    tell(&format!("found {}", digest(&committed)));
    let limits = WriterSettings {
        segment_passages_max: 12,
        graph_passages_min: 8,
        threads: 2,
        ..WriterSettings::default()
    };
    let mut writer = index.writer(limits.clone()).unwrap();
    let mut pending = committed.clone();
    for step in 0.. {
        match random.below(14) {
            0..6 => {
                tell("add");
                let group: Vec<u64> = (0..1 + random.below(8)).map(|_| random.below(IDS)).collect();
                for n in group {
                    let word = seed ^ step;
                    writer.add(vec![written(n, word)]).unwrap();
                    pending.insert(n, word);
                }
            }
            6..8 => {
                tell("delete");
                let n = random.below(IDS);
                let found = writer.delete(&id(n as usize)).unwrap();
                assert_eq!(found, pending.remove(&n).is_some());
            }
            8..11 => {
                tell(&format!("commit {}", digest(&pending)));
                writer.commit().unwrap();
                committed.clone_from(&pending);
                tell("committed");
            }
            11 => {
                tell("merge");
                drop(writer);
                let settings = MergeSettings {
                    passages_max: 60,
                    all: random.below(2) == 0,
                    threads: 2,
                    ..MergeSettings::default()
                };
                index.merge(&settings, &|| false).unwrap();
                writer = index.writer(limits.clone()).unwrap();
                pending.clone_from(&committed);
            }
            12 => {
                tell("copy");
                let to = folder.join("copy");
                let _ = std::fs::remove_dir_all(&to);
                index::copy(&folder.join("index"), &to).unwrap();
                assert_eq!(read(&to, &Index::open(&to).unwrap()), committed);
            }
            _ => {
                // What a swap of models ends with.
                tell("replace");
                drop(writer);
                let next = folder.join("next");
                let _ = std::fs::remove_dir_all(&next);
                index::copy(&folder.join("index"), &next).unwrap();
                index::replace(&folder.join("index"), &next).unwrap();
                writer = index.writer(limits.clone()).unwrap();
                pending.clone_from(&committed);
            }
        }
    }
}

struct Writing {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Writing {
    fn start(folder: &Path, seed: u64) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .env(CHILD, seed.to_string())
            .env(FOLDER, folder)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// What it tells next; when it ends by itself, that is a failure.
    fn next(&mut self) -> String {
        match self.lines.next() {
            Some(line) => line.unwrap(),
            None => panic!("the writer ended: {:?}", self.child.wait().unwrap()),
        }
    }
}

/// What the index may hold.
struct Acknowledged {
    committed: u64,
    under_way: Option<u64>,
}

impl Acknowledged {
    fn hear(&mut self, line: &str) {
        if let Some(digest) = line.strip_prefix("commit ") {
            self.under_way = Some(digest.parse().unwrap());
        } else if line == "committed" {
            self.committed = self.under_way.take().unwrap();
        } else if let Some(found) = line.strip_prefix("found ") {
            let found = found.parse().unwrap();
            assert!(
                found == self.committed || Some(found) == self.under_way,
                "an acknowledged commit is lost, or half of one is there"
            );
            self.committed = found;
            self.under_way = None;
        }
    }
}

fn kill_loop(trials: u64) {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(4);
    let mut state = Acknowledged {
        committed: digest(&Model::new()),
        under_way: None,
    };
    let (mut commits, mut killed_in_commit) = (0, 0);
    let start = Instant::now();
    for trial in 0..trials {
        let mut writing = Writing::start(folder.path(), 1_000_000 * (trial + 1));
        // Long enough ago that there is something to lose.
        let lines = random.below(40);
        let step = STEPS[random.below(STEPS.len() as u64) as usize];
        let mut heard = 0;
        loop {
            let line = writing.next();
            state.hear(&line);
            commits += u64::from(line == "committed");
            heard += 1;
            if heard >= lines && (line.starts_with(step) || heard > lines + 200) {
                break;
            }
        }
        let micros_max = 1 << random.below(14);
        std::thread::sleep(Duration::from_micros(random.below(micros_max)));
        writing.child.kill().unwrap();
        writing.child.wait().unwrap();
        // What it had still told before it died is acknowledged too.
        for line in writing.lines {
            let line = line.unwrap();
            state.hear(&line);
            commits += u64::from(line == "committed");
        }
        killed_in_commit += u64::from(state.under_way.is_some());
    }
    // The last state is looked at as well.
    let mut writing = Writing::start(folder.path(), 0);
    loop {
        let line = writing.next();
        state.hear(&line);
        if line.starts_with("found") {
            break;
        }
    }
    writing.child.kill().unwrap();
    writing.child.wait().unwrap();
    println!(
        "{trials} writers killed, {killed_in_commit} of them in a commit; {commits} commits acknowledged, 0 lost; {:.0} s",
        start.elapsed().as_secs_f64()
    );
    assert!(
        trials < 30 || (killed_in_commit > 0 && commits > trials / 4),
        "the trials try something"
    );
}
