//! Damage to stored files: what a disk, a careless copy or a foreign hand can do to a directory.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use rand::{Rng, rngs::StdRng};

/// What was done to a file.
#[derive(Clone, Debug)]
pub enum Damage {
    /// One bit has changed.
    Bit {
        /// The file, below its directory.
        file: String,
        /// Where in it.
        byte: usize,
        /// Which bit.
        bit: u8,
    },
    /// A page of 4 KiB is zeros.
    ZeroPage {
        /// The file.
        file: String,
        /// Where the page begins.
        byte: usize,
    },
    /// A page holds what another page of the same file holds.
    WrongPage {
        /// The file.
        file: String,
        /// Where the page begins.
        byte: usize,
        /// Where its content comes from.
        source: usize,
    },
    /// It ends too early.
    Truncated {
        /// The file.
        file: String,
        /// Its length now.
        length: usize,
    },
    /// It is gone.
    Missing {
        /// The file.
        file: String,
    },
}

const PAGE_BYTES: usize = 4096;

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bit { file, byte, bit } => write!(f, "bit {bit} of byte {byte} of {file}"),
            Self::ZeroPage { file, byte } => write!(f, "zeros at byte {byte} of {file}"),
            Self::WrongPage { file, byte, source } => {
                write!(f, "the page at byte {source} also at byte {byte} of {file}")
            }
            Self::Truncated { file, length } => write!(f, "{file} ends at byte {length}"),
            Self::Missing { file } => write!(f, "{file} is missing"),
        }
    }
}

impl Damage {
    /// Any damage to any file of a directory; mostly where there is something.
    ///
    /// # Panics
    /// If the directory holds no file.
    pub fn any(random: &mut StdRng, files: &[(String, Vec<u8>)]) -> Self {
        let (name, bytes) = &files[random.random_range(0..files.len())];
        let file = name.clone();
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        if used == 0 || random.random_bool(0.03) {
            return Self::Missing { file };
        }
        let byte = random.random_range(0..used);
        let page = byte / PAGE_BYTES * PAGE_BYTES;
        match random.random_range(0..10) {
            0 => Self::ZeroPage { file, byte: page },
            1 => {
                let source = random.random_range(0..used) / PAGE_BYTES * PAGE_BYTES;
                Self::WrongPage { file, byte: page, source }
            }
            2 => Self::Truncated { file, length: byte },
            _ => Self::Bit { file, byte, bit: random.random_range(0..8) },
        }
    }

    /// Does it to files.
    pub fn apply(&self, files: &mut Vec<(String, Vec<u8>)>) {
        let mut change = |name: &str, change: &dyn Fn(&mut Vec<u8>)| {
            files.iter_mut().filter(|(file, _)| file == name).for_each(|(_, bytes)| change(bytes));
        };
        match self {
            Self::Bit { file, byte, bit } => change(file, &|bytes| bytes[*byte] ^= 1 << bit),
            Self::ZeroPage { file, byte } => change(file, &|bytes| {
                let end = bytes.len().min(byte + PAGE_BYTES);
                bytes[*byte..end].fill(0);
            }),
            Self::WrongPage { file, byte, source } => change(file, &|bytes| {
                let length = PAGE_BYTES.min(bytes.len() - byte).min(bytes.len() - source);
                bytes.copy_within(*source..source + length, *byte);
            }),
            Self::Truncated { file, length } => change(file, &|bytes| bytes.truncate(*length)),
            Self::Missing { file } => files.retain(|(name, _)| name != file),
        }
    }
}

/// Every file below a directory, with its path there, in order.
///
/// # Panics
/// If they cannot be read.
pub fn files(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    let mut open: Vec<PathBuf> = vec![directory.to_owned()];
    while let Some(path) = open.pop() {
        for entry in fs::read_dir(path).expect("it can be read") {
            let path = entry.expect("it can be read").path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(directory).expect("it is below").to_str().expect("our paths are text");
                files.push((name.to_owned(), fs::read(&path).expect("it can be read")));
            }
        }
    }
    files.sort();
    files
}

/// Writes files into a directory that is empty or not there.
///
/// # Panics
/// If they cannot be written.
pub fn write(files: &[(String, Vec<u8>)], directory: &Path) {
    for (name, bytes) in files {
        let path = directory.join(name);
        fs::create_dir_all(path.parent().expect("a file is in a directory")).expect("it can be made");
        super::disk::write_sparse(&path, bytes);
    }
}
