//! The work that is done so far: a folder beside the file to come, which has the lines that are done.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader, BufWriter, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde::Serialize;

/// Lines that are written, in the order of the input; every one is whole.
pub(crate) struct Work {
    folder: PathBuf,
    done: u64,
    lines: BufWriter<File>,
}

impl Work {
    /// Opens the folder of an output, or makes it. `named` says everything that decides what the lines are.
    ///
    /// # Errors
    /// When the folder has the beginning of something else, or cannot be written.
    pub(crate) fn open(out: &Path, doing: &str, named: &str) -> Result<Self> {
        let mut folder = out.as_os_str().to_owned();
        folder.push(".");
        folder.push(doing);
        let folder = PathBuf::from(folder);
        let (name, path) = (folder.join("options.json"), folder.join("lines.jsonl"));
        match fs::read_to_string(&name) {
            Ok(found) if found == named => {}
            Ok(_) => bail!(
                "{}: there is the beginning of another run, with other options, pairs or model; \
                 remove it or choose another --out",
                folder.display()
            ),
            Err(_) => {
                fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
                fs::write(&name, named).with_context(|| name.display().to_string())?;
            }
        }
        let at = || path.display().to_string();
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .with_context(at)?;
        let (done, bytes) = whole_lines(&file).with_context(at)?;
        file.set_len(bytes).with_context(at)?;
        let mut lines = BufWriter::new(file);
        lines.seek(std::io::SeekFrom::End(0)).with_context(at)?;
        Ok(Self { folder, done, lines })
    }

    /// Room for what the lines are made with.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Lines that were there when the folder was opened.
    pub(crate) fn done(&self) -> u64 {
        self.done
    }

    /// Appends lines.
    pub(crate) fn write(&mut self, lines: &[impl Serialize]) -> Result<()> {
        let mut write = || -> std::io::Result<()> {
            for line in lines {
                serde_json::to_writer(&mut self.lines, line)?;
                self.lines.write_all(b"\n")?;
            }
            self.lines.flush()
        };
        write().with_context(|| self.folder.join("lines.jsonl").display().to_string())
    }

    /// Gives the lines their name and removes everything else.
    pub(crate) fn finish(self, out: &Path) -> Result<()> {
        let path = self.folder.join("lines.jsonl");
        self.lines
            .get_ref()
            .sync_all()
            .with_context(|| path.display().to_string())?;
        fs::rename(&path, out).with_context(|| out.display().to_string())?;
        fs::remove_dir_all(&self.folder).with_context(|| self.folder.display().to_string())
    }
}

/// Lines that end, and their bytes together. A run that is killed may leave half a line after them.
fn whole_lines(file: &File) -> std::io::Result<(u64, u64)> {
    let mut reader = BufReader::new(file);
    let (mut lines, mut bytes) = (0, 0);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = reader.read_until(b'\n', &mut line)?;
        if line.last() != Some(&b'\n') {
            return Ok((lines, bytes));
        }
        lines += 1;
        bytes += read as u64;
    }
}
