//! An index whose files are not what was written.

use crate::fixture::{Journey, files, lines};

#[test]
fn a_flipped_byte_is_found_in_every_file() {
    let journey = Journey::new();
    journey.put(
        "in.jsonl",
        lines(&[
            "granite bridge",
            "clay tower",
            "old lighthouse",
            "oak",
            "elm",
            "ash",
        ]),
    );
    journey.cloze(&["index", "in.jsonl"]).well();
    journey.cloze(&["index", "--delete", "1"]).well();
    let sound = journey.cloze(&["verify"]).well();
    assert!(sound.out.contains("sound: 5 documents"), "{sound:?}");
    let mut flipped = 0;
    for path in files(&journey.path("index")) {
        let bytes = std::fs::read(&path).unwrap();
        if bytes.is_empty() || path.ends_with("write.lock") {
            continue;
        }
        let mut damaged = bytes.clone();
        damaged[bytes.len() / 2] ^= 1;
        std::fs::write(&path, damaged).unwrap();
        let said = journey.cloze(&["verify", "--json"]);
        assert_eq!(said.code, 1, "{}: {said:?}", path.display());
        let said = journey.cloze(&["search", "granite"]);
        assert_eq!(said.code, 1, "{}: {said:?}", path.display());
        std::fs::write(&path, bytes).unwrap();
        flipped += 1;
    }
    assert!(flipped > 5, "{flipped} files");
    journey.cloze(&["verify"]).well();
}

#[test]
#[cfg(target_os = "linux")]
fn a_disk_that_takes_no_more_is_named_and_what_was_committed_stays() {
    use std::process::Command;
    let journey = Journey::new();
    journey.put("in.jsonl", lines(&["granite bridge", "clay tower"]));
    journey.cloze(&["index", "in.jsonl"]).well();
    // A limit on the size of files is the nearest thing to a full disk that needs no rights.
    let text = "word ".repeat(400_000);
    journey.put("big.jsonl", lines(&["granite bridge", "clay tower", &text]));
    let said = Command::new("sh")
        .args([
            "-c",
            "trap '' XFSZ; ulimit -f 8; exec \"$@\"",
            "sh",
            env!("CARGO_BIN_EXE_cloze"),
            "index",
            "big.jsonl",
        ])
        .current_dir(journey.path("."))
        .env("CLOZE_INDEX", "index")
        .output()
        .unwrap();
    assert_eq!(said.status.code(), Some(1), "{said:?}");
    let error = String::from_utf8(said.stderr).unwrap();
    assert!(error.contains("File too large"), "{error}");
    assert_eq!(journey.documents(), 2);
    journey.cloze(&["verify"]).well();
    journey.cloze(&["search", "granite"]).well();
}

/// A small disk in memory, taken away again.
#[cfg(target_os = "linux")]
struct Disk(std::path::PathBuf);

#[cfg(target_os = "linux")]
impl Disk {
    /// Mounts it; says why when that is not possible.
    fn mount(at: std::path::PathBuf, size: &str) -> Result<Self, String> {
        std::fs::create_dir_all(&at).unwrap();
        let options = format!("size={size}");
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(&at)
            .output();
        match mounted {
            Ok(output) if output.status.success() => Ok(Self(at)),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn grow(&self, size: &str) {
        let options = format!("remount,size={size}");
        let grown = std::process::Command::new("mount")
            .args(["-o", &options])
            .arg(&self.0)
            .status();
        assert!(grown.unwrap().success());
    }
}

#[cfg(target_os = "linux")]
impl Drop for Disk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(&self.0).status();
    }
}

#[test]
#[cfg(target_os = "linux")]
#[allow(clippy::print_stderr, reason = "a skipped test says why")]
fn a_full_disk_is_named_and_what_was_committed_stays() {
    let journey = Journey::new();
    let disk = match Disk::mount(journey.path("index"), "2m") {
        Ok(disk) => disk,
        Err(reason) => return eprintln!("skipped: no file system of 2 MB could be mounted: {reason}"),
    };
    let texts: Vec<String> = (0..1500)
        .map(|n| format!("granite bridge number {n} of the old town"))
        .collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    journey.put("few.jsonl", lines(&texts[..100]));
    journey.cloze(&["index", "few.jsonl"]).well();
    journey.put("in.jsonl", lines(&texts));
    let said = journey.cloze(&["index", "in.jsonl", "--commit-every", "200", "--json"]);
    assert_eq!(said.code, 1, "{said:?}");
    let place = said.err.contains("index/segments/") && said.err.contains("no space left on the device");
    assert!(place, "{said:?}");
    let kept = 100 + said.json()["documents_added"].as_u64().unwrap();
    assert_eq!(journey.documents(), kept, "{said:?}");
    assert!(kept < 1500);
    journey.cloze(&["verify"]).well();
    assert!(
        journey
            .found(&["granite bridge number 7"])
            .contains(&"7".to_owned())
    );
    disk.grow("64m");
    let summary = journey.cloze(&["index", "in.jsonl", "--json"]).well().json();
    assert_eq!(summary["documents_unchanged"], kept);
    assert_eq!(journey.documents(), 1500);
    journey.cloze(&["verify"]).well();
}
