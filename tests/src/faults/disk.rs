//! What a disk holds after a power cut, told from a journal.
//!
//! | what was done | after the cut |
//! |---|---|
//! | written, then synced by `fsync` or `fdatasync` that succeeded | is there |
//! | written into a file with the attribute "synchronous", where the disk keeps it | is there, unless it was the very last thing: then it may be torn |
//! | written, not synced; `sync_file_range` is no sync | is there, or not, or in part: sectors of 512 bytes, in any order |
//! | was dirty when a sync failed | the same, and no later sync helps |
//! | names made, changed or removed | up to some moment since the last sync of their directory; a synced file has its name |

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    os::unix::fs::FileExt,
    path::Path,
};

use rand::{Rng, rngs::StdRng};

use super::journal::{Event, Moment};

/// The smallest piece that a disk writes.
const SECTOR_BYTES: usize = 512;

/// A disk, as it is told by the journal.
#[derive(Clone, Debug)]
pub struct Disk {
    /// Whether it keeps the attribute "synchronous".
    keeps_synchronous: bool,
    /// What files hold; a name leads to one of them.
    files: Vec<Contents>,
    /// The file that has this number now.
    numbers: HashMap<u64, Place>,
    /// Names as a running process sees them.
    names: Names,
    /// Names that are durable, and what was done to them since.
    durable_names: Names,
    unsynced_names: Vec<NameChange>,
}

type Names = BTreeMap<String, usize>;

#[derive(Clone, Debug)]
enum Place {
    File(usize),
    Directory(String),
}

#[derive(Clone, Debug)]
enum NameChange {
    Made(String, usize),
    Renamed(String, String),
    Removed(String),
}

#[derive(Clone, Debug, Default)]
struct Contents {
    durable: Vec<u8>,
    unsynced: Vec<Unsynced>,
    is_synchronous: bool,
    /// Syncs that have begun, and how much was unsynced then.
    syncs: HashMap<u64, u64>,
    next: u64,
}

/// A write that no sync has covered.
#[derive(Clone, Debug)]
struct Unsynced {
    number: u64,
    /// No sync will ever cover it: one has failed.
    is_given_up: bool,
    change: Change,
}

#[derive(Clone, Debug)]
enum Change {
    Write { offset: u64, bytes: Vec<u8> },
    Length(u64),
}

impl Disk {
    /// An empty disk.
    pub fn new(keeps_synchronous: bool) -> Self {
        Self {
            keeps_synchronous,
            files: Vec::new(),
            numbers: HashMap::new(),
            names: Names::new(),
            durable_names: Names::new(),
            unsynced_names: Vec::new(),
        }
    }

    /// Whether it keeps the attribute "synchronous".
    pub fn keeps_synchronous(&self) -> bool {
        self.keeps_synchronous
    }

    /// Does what a process has done.
    pub fn apply(&mut self, event: &Event) {
        // Only the newest write into a file that is written through can still be on its way.
        for contents in self.files.iter_mut().filter(|contents| contents.is_synchronous) {
            contents.settle(u64::MAX);
        }
        match event {
            Event::Opened { file, path, is_directory: true, .. } => {
                self.numbers.insert(*file, Place::Directory(path.clone()));
            }
            Event::Opened { file, path, is_created, is_emptied, is_synchronous, is_directory: false } => {
                self.open(*file, path, *is_created, *is_synchronous);
                if *is_emptied {
                    self.change(*file, Change::Length(0));
                }
            }
            Event::Written { file, offset, bytes } => {
                self.change(*file, Change::Write { offset: *offset, bytes: bytes.clone() });
            }
            Event::Truncated { file, length } => self.change(*file, Change::Length(*length)),
            Event::SyncBegun { file, sync } => {
                if let Some(contents) = self.contents(*file) {
                    contents.syncs.insert(*sync, contents.next);
                }
            }
            Event::SyncDone { file, sync } => self.sync(*file, *sync),
            Event::SyncFailed { file, .. } => {
                if let Some(contents) = self.contents(*file) {
                    contents.unsynced.iter_mut().for_each(|unsynced| unsynced.is_given_up = true);
                }
            }
            Event::Renamed { from, to } => {
                rename(&mut self.names, from, to);
                self.change_names(NameChange::Renamed(from.clone(), to.clone()), to);
            }
            Event::Removed { path } => {
                self.names.remove(path);
                self.change_names(NameChange::Removed(path.clone()), path);
            }
            // Directories are made again with what is in them.
            Event::DirectoryMade { .. } => {}
        }
    }

    /// Another process opens what this one has left: descriptors and syncs that had begun are gone.
    pub fn end_process(&mut self) {
        self.files.iter_mut().for_each(|contents| contents.syncs.clear());
    }

    fn open(&mut self, number: u64, path: &str, is_created: bool, is_synchronous: bool) {
        let is_synchronous = is_synchronous && self.keeps_synchronous;
        let known = self.names.get(path).copied().filter(|_| !is_created);
        let file = known.unwrap_or_else(|| {
            self.files.push(Contents { is_synchronous, ..Default::default() });
            let file = self.files.len() - 1;
            self.names.insert(path.to_owned(), file);
            self.change_names(NameChange::Made(path.to_owned(), file), path);
            file
        });
        self.files[file].is_synchronous = is_synchronous;
        self.numbers.insert(number, Place::File(file));
    }

    fn contents(&mut self, number: u64) -> Option<&mut Contents> {
        match self.numbers.get(&number)? {
            Place::File(file) => self.files.get_mut(*file),
            Place::Directory(_) => None,
        }
    }

    fn change(&mut self, number: u64, change: Change) {
        let Some(contents) = self.contents(number) else { return };
        contents.unsynced.push(Unsynced { number: contents.next, is_given_up: false, change });
        contents.next += 1;
    }

    fn sync(&mut self, number: u64, sync: u64) {
        match self.numbers.get(&number) {
            None => {}
            Some(Place::Directory(path)) => {
                let prefix = if path.is_empty() { String::new() } else { format!("{path}/") };
                let is_here = |name: &str| name.strip_prefix(&prefix).is_some_and(|rest| !rest.contains('/'));
                let (here, elsewhere) = std::mem::take(&mut self.unsynced_names)
                    .into_iter()
                    .partition(|change: &NameChange| is_here(change.name()));
                self.unsynced_names = elsewhere;
                here.iter().for_each(|change| change.apply(&mut self.durable_names));
            }
            Some(Place::File(file)) => {
                let file = *file;
                let contents = &mut self.files[file];
                if let Some(until) = contents.syncs.remove(&sync) {
                    contents.settle(until);
                }
                // A file that is durable can be found, also where another one had its name before.
                let is_made = |change: &NameChange| matches!(change, NameChange::Made(_, made) if *made == file);
                let Some(made) = self.unsynced_names.iter().find(|change| is_made(change)) else { return };
                let name = made.name().to_owned();
                let (its, others) =
                    std::mem::take(&mut self.unsynced_names).into_iter().partition(|change| change.name() == name);
                self.unsynced_names = others;
                its.iter().for_each(|change: &NameChange| change.apply(&mut self.durable_names));
            }
        }
    }

    fn change_names(&mut self, change: NameChange, path: &str) {
        let is_synchronous = self.keeps_synchronous
            && self.names.get(path).is_some_and(|file| self.files.get(*file).is_some_and(|file| file.is_synchronous));
        if is_synchronous { change.apply(&mut self.durable_names) } else { self.unsynced_names.push(change) }
    }

    /// Writes what is there after a power cut into an empty directory.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn cut(&self, random: &mut StdRng, directory: &Path) {
        let mut names = self.durable_names.clone();
        let kept = random.random_range(0..=self.unsynced_names.len());
        self.unsynced_names[..kept].iter().for_each(|change| change.apply(&mut names));
        for (name, file) in names {
            let path = directory.join(name);
            fs::create_dir_all(path.parent().expect("a file is in a directory")).expect("it can be made");
            write_sparse(&path, &self.files[file].after_cut(random));
        }
        make_blobs(directory);
    }

    /// Writes what the next process reads if no power was cut, but the kernel has forgotten what a failed sync left: that is
    /// on the disk, or not, or in part.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn forget(&self, random: &mut StdRng, directory: &Path) {
        for (name, file) in &self.names {
            let mut contents = self.files[*file].clone();
            let last_given_up = contents.unsynced.iter().rposition(|unsynced| unsynced.is_given_up);
            let rest = contents.unsynced.split_off(last_given_up.map_or(0, |last| last + 1));
            let mut bytes = contents.after_cut(random);
            rest.iter().for_each(|unsynced| unsynced.change.apply(&mut bytes));
            let path = directory.join(name);
            fs::create_dir_all(path.parent().expect("a file is in a directory")).expect("it can be made");
            write_sparse(&path, &bytes);
        }
        make_blobs(directory);
    }

    /// A disk that holds what a directory holds, all of it durable.
    ///
    /// # Panics
    /// If it cannot be read.
    pub fn of_directory(directory: &Path, keeps_synchronous: bool) -> Self {
        let mut disk = Self::new(keeps_synchronous);
        for (name, bytes) in super::damage::files(directory) {
            disk.files.push(Contents { durable: bytes, ..Default::default() });
            disk.names.insert(name, disk.files.len() - 1);
        }
        disk.durable_names = disk.names.clone();
        disk
    }
}

/// Renames a file, or a directory with all that is in it.
fn rename(names: &mut Names, from: &str, to: &str) {
    let below = format!("{from}/");
    let moved: Vec<String> = names.keys().filter(|name| *name == from || name.starts_with(&below)).cloned().collect();
    for name in moved {
        if let Some(file) = names.remove(&name) {
            names.insert(format!("{to}{}", &name[from.len()..]), file);
        }
    }
}

impl NameChange {
    fn name(&self) -> &str {
        match self {
            Self::Made(name, _) | Self::Renamed(_, name) | Self::Removed(name) => name,
        }
    }

    fn apply(&self, names: &mut Names) {
        match self {
            Self::Made(name, file) => {
                names.insert(name.clone(), *file);
            }
            Self::Renamed(from, to) => {
                rename(names, from, to);
            }
            Self::Removed(name) => {
                names.remove(name);
            }
        }
    }
}

impl Contents {
    /// Everything before that number is durable.
    fn settle(&mut self, until: u64) {
        let (done, rest) = std::mem::take(&mut self.unsynced)
            .into_iter()
            .partition(|unsynced: &Unsynced| unsynced.number < until && !unsynced.is_given_up);
        self.unsynced = rest;
        done.iter().for_each(|unsynced| unsynced.change.apply(&mut self.durable));
    }

    fn after_cut(&self, random: &mut StdRng) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        // All of it, none of it, up to a torn one, or any of it in any state.
        let fate = random.random_range(0..4);
        let whole = random.random_range(0..=self.unsynced.len());
        for (place, unsynced) in self.unsynced.iter().enumerate() {
            let change = match fate {
                0 => Some(unsynced.change.clone()),
                1 => None,
                2 if place < whole => Some(unsynced.change.clone()),
                2 if place == whole => Some(unsynced.change.torn(random)),
                2 => None,
                _ if random.random_bool(0.4) => Some(unsynced.change.clone()),
                _ if random.random_bool(0.5) => Some(unsynced.change.torn(random)),
                _ => None,
            };
            if let Some(change) = change {
                change.apply(&mut bytes);
            }
        }
        bytes
    }
}

impl Change {
    fn apply(&self, file: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes } => {
                let start = usize::try_from(*offset).expect("a file of a test is small");
                if file.len() < start + bytes.len() {
                    file.resize(start + bytes.len(), 0);
                }
                file[start..start + bytes.len()].copy_from_slice(bytes);
            }
            Self::Length(length) => file.resize(usize::try_from(*length).expect("a file of a test is small"), 0),
        }
    }

    /// The first sectors of a write.
    fn torn(&self, random: &mut StdRng) -> Self {
        match self {
            Self::Write { offset, bytes } => {
                let misaligned = usize::try_from(*offset).expect("a file of a test is small") % SECTOR_BYTES;
                let sectors = (misaligned + bytes.len()).div_ceil(SECTOR_BYTES);
                let kept = (random.random_range(0..sectors) * SECTOR_BYTES).saturating_sub(misaligned);
                Self::Write { offset: *offset, bytes: bytes[..kept.min(bytes.len())].to_vec() }
            }
            Self::Length(_) => self.clone(),
        }
    }
}

/// sled looks for this directory even where nothing is in it.
fn make_blobs(directory: &Path) {
    if directory.join("log").exists() {
        fs::create_dir_all(directory.join("log/blobs")).expect("it can be made");
    }
}

/// Writes only what is not zero, so that empty segments cost nothing.
pub(super) fn write_sparse(path: &Path, bytes: &[u8]) {
    const PIECE: usize = 64 * 1024;
    let file = File::create(path).expect("it can be made");
    file.set_len(u64::try_from(bytes.len()).expect("a length is a number")).expect("it has room");
    for (place, piece) in bytes.chunks(PIECE).enumerate() {
        if piece.iter().any(|byte| *byte != 0) {
            let offset = u64::try_from(place * PIECE).expect("an offset is a number");
            file.write_all_at(piece, offset).expect("it has room");
        }
    }
}

/// Every moment at which the power can be cut, and the disk then.
#[derive(Debug)]
pub struct Cuts<'a> {
    disk: Disk,
    events: std::slice::Iter<'a, (Moment, Event)>,
    life: usize,
}

impl<'a> Cuts<'a> {
    /// The story of a disk from here on, in order of its events.
    pub fn new(disk: Disk, events: &'a [(Moment, Event)]) -> Self {
        Self { disk, events: events.iter(), life: 0 }
    }

    /// The disk at a moment that is not before the one asked for last.
    pub fn at(&mut self, moment: Moment) -> &Disk {
        while let Some((_, event)) = self.events.as_slice().first().filter(|(after, _)| *after <= moment) {
            let life = self.events.as_slice()[0].0.life;
            if life != self.life {
                self.disk.end_process();
                self.life = life;
            }
            self.disk.apply(event);
            self.events.next();
        }
        &self.disk
    }
}
