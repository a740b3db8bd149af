//! The folder of finished parts beside an output that is not finished.
//!
//! ```text
//! OUTPUT.parts/lock           held by the one process that writes
//! OUTPUT.parts/state.json     what made the vectors, and the parts that are finished
//! OUTPUT.parts/000001.arrow   ids and vectors, whatever the format of OUTPUT
//! ```
//!
//! A part is written and synced before the state names it, and the state is replaced in one step: whatever is
//! interrupted before has not happened.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use data::{VectorFormat, VectorRows, VectorSchema, VectorWriter};

use super::error::{OutputError, io_error};
use super::state::{Checksum, MadeBy, Part, Refused, State, Tally, VERSION, difference, hex};

/// Rows after which a part is finished; what a killed run loses at most, and what is held in memory.
const PART_ROWS: usize = 2048;

const STATE: &str = "state.json";
const STATE_NEXT: &str = "state.json.next";
const LOCK: &str = "lock";

/// The parts of one output; the folder is locked until this is dropped.
pub(super) struct Parts {
    folder: PathBuf,
    dimension: usize,
    state: State,
    waiting: Waiting,
    _lock: File,
}

/// Rows that are in no part yet, and the account at their end.
#[derive(Default)]
struct Waiting {
    rows: VectorRows,
    refused: Vec<Refused>,
    end: Option<(Tally, u128)>,
}

/// The folder of parts of an output.
pub(super) fn parts_folder(output: &Path) -> PathBuf {
    let mut name = OsString::from(output);
    name.push(".parts");
    PathBuf::from(name)
}

impl Parts {
    /// Opens the folder of an output, or creates it. `restart` removes what is in it.
    pub(super) fn open(
        output: &Path,
        made_by: MadeBy,
        dimension: usize,
        restart: bool,
    ) -> Result<Self, OutputError> {
        let folder = parts_folder(output);
        create_folder(&folder)?;
        check_names(&folder)?;
        let lock = lock(&folder)?;
        if restart {
            remove_files(&folder, |name| name != LOCK)?;
        }
        let state = read_state(&folder)?;
        if let Some((was, now)) = state
            .as_ref()
            .and_then(|state| difference(&state.made_by, &made_by))
        {
            return Err(OutputError::Otherwise { folder, was, now });
        }
        let empty = State {
            version: VERSION,
            made_by,
            parts: Vec::new(),
        };
        Ok(Self {
            folder,
            dimension,
            state: state.unwrap_or(empty),
            waiting: Waiting::default(),
            _lock: lock,
        })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The finished parts, in their order.
    pub(super) fn finished(&self) -> &[Part] {
        &self.state.parts
    }

    /// The file of a part, by its place from 0.
    pub(super) fn file(&self, part: usize) -> PathBuf {
        self.folder.join(format!("{:06}.arrow", part + 1))
    }

    /// Takes rows, with the account at their end; finishes a part when there are enough.
    pub(super) fn add(
        &mut self,
        rows: VectorRows,
        refused: Vec<Refused>,
        end: (Tally, u128),
    ) -> Result<(), OutputError> {
        self.waiting.rows.append(rows);
        self.waiting.refused.extend(refused);
        self.waiting.end = Some(end);
        match self.waiting.rows.len() >= PART_ROWS {
            true => self.save(),
            false => Ok(()),
        }
    }

    /// Finishes a part with the rows that wait.
    pub(super) fn save(&mut self) -> Result<(), OutputError> {
        let Waiting { rows, refused, end } = std::mem::take(&mut self.waiting);
        let Some((tally, input)) = end else {
            return Ok(());
        };
        let schema = VectorSchema {
            dimension: self.dimension,
            about: Vec::new(),
        };
        let path = self.file(self.state.parts.len());
        let mut writer = VectorWriter::create(&path, VectorFormat::Arrow, &schema)?;
        writer.write(&rows)?;
        writer.finish()?;
        let mut checksum = Checksum::default();
        checksum.add(&rows);
        self.state.parts.push(Part {
            rows: rows.len() as u64,
            checksum: checksum.hex(),
            tally,
            input: hex(input),
            refused,
        });
        self.write_state()
    }

    fn write_state(&self) -> Result<(), OutputError> {
        let (next, path) = (self.folder.join(STATE_NEXT), self.folder.join(STATE));
        let bytes = serde_json::to_vec(&self.state).map_err(|error| io_error(&path)(error.into()))?;
        let written = File::create(&next).and_then(|mut file| {
            file.write_all(&bytes)?;
            file.sync_all()
        });
        written.map_err(io_error(&next))?;
        fs::rename(&next, &path).map_err(io_error(&path))?;
        sync_folder(&self.folder)
    }

    /// Removes the folder, when its rows are in the output.
    pub(super) fn remove(self) -> Result<(), OutputError> {
        // The state goes first: parts without it are nothing.
        remove_files(&self.folder, |name| name == STATE)?;
        remove_files(&self.folder, |_| true)?;
        fs::remove_dir(&self.folder).map_err(io_error(&self.folder))
    }
}

impl Drop for Parts {
    /// A folder without a part is nothing to go on from.
    fn drop(&mut self) {
        if self.state.parts.is_empty() {
            // What cannot be removed does no harm: the next run takes it over.
            let _ = remove_files(&self.folder, |_| true);
            let _ = fs::remove_dir(&self.folder);
        }
    }
}

/// Makes the names in a folder durable. Only Unix has such a thing.
pub(super) fn sync_folder(folder: &Path) -> Result<(), OutputError> {
    match cfg!(unix) {
        true => {
            let synced = File::open(folder).and_then(|folder| folder.sync_all());
            synced.map_err(io_error(folder))
        }
        false => Ok(()),
    }
}

/// The folder above is not created: a path that is mistyped is no place for vectors.
fn create_folder(folder: &Path) -> Result<(), OutputError> {
    match fs::create_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        created => created.map_err(io_error(folder)),
    }
}

fn lock(folder: &Path) -> Result<File, OutputError> {
    let path = folder.join(LOCK);
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path);
    let file = file.map_err(io_error(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OutputError::Locked(folder.to_owned())),
        Err(TryLockError::Error(error)) => Err(io_error(&path)(error)),
    }
}

fn read_state(folder: &Path) -> Result<Option<State>, OutputError> {
    let path = folder.join(STATE);
    let damaged = |reason: String| OutputError::Damaged {
        path: path.clone(),
        reason,
    };
    let bytes = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(io_error(&path))?,
    };
    let state: State = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
    match state.version {
        VERSION => Ok(Some(state)),
        other => Err(damaged(format!("version {other}; accepted: {VERSION}"))),
    }
}

fn names(folder: &Path) -> Result<Vec<String>, OutputError> {
    let entries = fs::read_dir(folder).map_err(io_error(folder))?;
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    names
        .collect::<io::Result<Vec<String>>>()
        .map_err(io_error(folder))
}

/// Nothing is removed from a folder that holds what no run has written.
fn check_names(folder: &Path) -> Result<(), OutputError> {
    let is_part = |name: &str| {
        let number = name.strip_suffix(".arrow").unwrap_or_default();
        number.len() >= 6 && number.bytes().all(|byte| byte.is_ascii_digit())
    };
    let known = |name: &str| [STATE, STATE_NEXT, LOCK].contains(&name) || super::join::is_draft(name);
    match names(folder)?.iter().find(|name| !known(name) && !is_part(name)) {
        Some(name) => Err(OutputError::Foreign(folder.join(name))),
        None => Ok(()),
    }
}

fn remove_files(folder: &Path, wanted: impl Fn(&str) -> bool) -> Result<(), OutputError> {
    for name in names(folder)?.iter().filter(|name| wanted(name)) {
        let path = folder.join(name);
        fs::remove_file(&path).map_err(io_error(&path))?;
    }
    Ok(())
}
