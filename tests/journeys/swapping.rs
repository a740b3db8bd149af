//! An index that goes over to another model, and back, while it is served.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::fixture::{Journey, Server, lines};

/// Components that are left of the bundled encoder's vectors.
const SHORTER: usize = 256;

/// The bundled encoder with the first components of its vectors alone: another model, with vectors of another length.
fn shorter_model(journey: &Journey, name: &str) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bundled/models/encoder");
    copy(journey, &from, name);
    let modules = std::fs::read(from.join("modules.json")).unwrap();
    let mut modules: Value = serde_json::from_slice(&modules).unwrap();
    let dense =
        json!({"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"});
    let modules = modules.as_array_mut().unwrap();
    modules.insert(2, dense);
    modules[3]["path"] = json!("3_Normalize");
    journey.put(&format!("{name}/modules.json"), json!(modules).to_string());
    let config: Value = serde_json::from_slice(&std::fs::read(from.join("config.json")).unwrap()).unwrap();
    let width = config["hidden_size"].as_u64().unwrap() as usize;
    let dense = json!({
        "in_features": width, "out_features": SHORTER, "bias": true,
        "activation_function": "torch.nn.modules.linear.Identity",
    });
    journey.put(&format!("{name}/2_Dense/config.json"), dense.to_string());
    journey.put(
        &format!("{name}/2_Dense/model.safetensors"),
        first_components(width),
    );
}

/// A projection onto the first components, as a safetensors file: its header, then a unit matrix and no bias.
fn first_components(width: usize) -> Vec<u8> {
    let (weight, all) = (4 * SHORTER * width, 4 * SHORTER * (width + 1));
    let header = json!({
        "linear.weight": {"dtype": "F32", "shape": [SHORTER, width], "data_offsets": [0, weight]},
        "linear.bias": {"dtype": "F32", "shape": [SHORTER], "data_offsets": [weight, all]},
    });
    let header = header.to_string();
    let values = (0..SHORTER * width).map(|at| if at / width == at % width { 1f32 } else { 0.0 });
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.bytes());
    bytes.extend(values.chain([0.0; SHORTER]).flat_map(f32::to_le_bytes));
    bytes
}

fn copy(journey: &Journey, from: &Path, to: &str) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = format!("{to}/{}", entry.file_name().to_str().unwrap());
        match entry.file_type().unwrap().is_dir() {
            true => copy(journey, &entry.path(), &to),
            false => _ = journey.put(&to, std::fs::read(entry.path()).unwrap()),
        }
    }
}

/// Gives every weight the same value, so that all texts get the same vector.
fn spoil(journey: &Journey, model: &str) {
    let path = journey.path(&format!("{model}/model.safetensors"));
    let mut bytes = std::fs::read(&path).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    bytes[8 + header..].fill(0x30);
    std::fs::write(path, bytes).unwrap();
}

fn best(server: &Server, query: &str) -> Value {
    let request = json!({"query": query, "mode": "dense"});
    server.ask("POST", "/v1/search", &request)["hits"][0]["document"].clone()
}

/// Asks until the server is of a model. Every search on the way has its answer.
fn comes_to(server: &Server, model: &str) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while server.ask("GET", "/readyz", &Value::Null)["model"] != model {
        assert_eq!(best(server, "quarry of stone"), "3");
        assert!(Instant::now() < deadline, "the server does not follow");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn an_index_goes_over_to_another_model_and_back() {
    let journey = Journey::new();
    let texts = [
        "a bridge of granite",
        "the tower of clay",
        "wool and linen",
        "a quarry of stone",
        "ships in the harbour",
        "the baker of bread",
        "rain over the hills",
        "a song for the queen",
        "the doctor of the village",
        "gold in the river",
        "horses on the meadow",
        "the painter and the wall",
        "snow in the mountains",
        "a letter from the sea",
        "the clock of the church",
        "apples and pears",
        "the war of the roses",
        "a school for children",
        "the king and his castle",
        "wine of the valley",
        "the road to the city",
        "fishing at night",
        "the printer of books",
        "an engine of steam",
        "the forest of oaks",
    ];
    journey.put("in.jsonl", lines(&texts));
    journey.cloze(&["index", "in.jsonl"]).well();
    shorter_model(&journey, "shorter");
    shorter_model(&journey, "spoilt");
    spoil(&journey, "spoilt");
    let server = Server::start(&journey, &[]);
    let model = || journey.cloze(&["inspect", "--json"]).well().json()["settings"]["model"].clone();

    let said = journey.cloze(&["swap-model", "--model", "spoilt"]);
    assert!(
        said.code == 1 && said.err.contains("the index is as it was"),
        "{said:?}"
    );
    assert_eq!(model(), "bundled");
    let said = journey.cloze(&["swap-model", "--model", "shorter"]);
    assert!(
        said.code == 1 && said.err.contains("remove it to begin anew"),
        "{said:?}"
    );
    std::fs::remove_dir_all(journey.path("index.next")).unwrap();

    journey.put("wrong.jsonl", "{\"query\": \"stone\", \"relevant\": [\"300\"]}\n");
    let said = journey.cloze(&["swap-model", "--model", "shorter", "--judgements", "wrong.jsonl"]);
    assert!(said.code == 1 && said.err.contains("no document 300"), "{said:?}");
    journey.put(
        "asked.jsonl",
        "{\"query\": \"where stone is broken\", \"relevant\": [\"3\"]}\n",
    );
    let said = journey
        .cloze(&[
            "swap-model",
            "--model",
            "shorter",
            "--judgements",
            "asked.jsonl",
            "--json",
        ])
        .well();
    assert_eq!(said.json()["quality"]["after"], 1.0, "{said:?}");
    assert!(model().as_str().unwrap().ends_with("shorter"));
    journey.cloze(&["verify"]).well();
    comes_to(&server, "shorter");
    assert_eq!(best(&server, "quarry of stone"), "3");

    // What is written by the new model is not lost when the old one comes back.
    journey.put(
        "more.jsonl",
        "{\"id\": \"late\", \"text\": \"a lighthouse on the cape\"}\n",
    );
    journey.cloze(&["index", "more.jsonl"]).well();
    journey.cloze(&["index", "--delete", "0"]).well();
    journey.cloze(&["swap-model", "--roll-back"]).well();
    assert_eq!(model(), "bundled");
    comes_to(&server, "bundled");
    assert_eq!(best(&server, "lighthouse on the cape"), "late");
    assert_eq!(journey.documents(), texts.len() as u64);
    journey.cloze(&["verify"]).well();
    let said = journey.cloze(&["swap-model", "--roll-back"]);
    assert!(said.code == 1 && said.err.contains("holds no index"), "{said:?}");
}
