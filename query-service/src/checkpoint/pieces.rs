//! The pieces of an index on disk, by generation, and the root that says which of them count.

use std::{collections::HashMap, fs::File, path::Path, sync::Arc};

use prost::Message;
use shared::{
    feed::Position,
    model::log::{ChainHash, Link, Revision, StoreId},
};
use uuid::Uuid;

use crate::{
    apply::Snapshot,
    archive::Archive,
    index::{Index, Loading},
};

/// Of names, pieces, batches and root; another one is thrown away.
const FORMAT_VERSION: u32 = 1;
const ROOT: &[u8] = b"root";
const GENERATION_LEN: usize = 8;
/// Pieces that are given to sled at a time.
const BATCH_PIECES: usize = 64;

/// What makes a generation count.
#[derive(Clone, PartialEq, Message)]
struct RootValue {
    #[prost(uint32, tag = "1")]
    format_version: u32,
    #[prost(bytes = "vec", tag = "2")]
    store: Vec<u8>,
    #[prost(uint64, tag = "3")]
    epoch: u64,
    #[prost(uint64, tag = "4")]
    revision: u64,
    #[prost(bytes = "vec", tag = "5")]
    chain_hash: Vec<u8>,
    #[prost(uint64, tag = "6")]
    generation: u64,
    /// Sum of the digests of all pieces that count.
    #[prost(bytes = "vec", tag = "7")]
    digest: Vec<u8>,
    /// BLAKE3 of this message without this field.
    #[prost(bytes = "vec", tag = "8")]
    hash: Vec<u8>,
}

/// The same, checked.
#[derive(Clone, Debug)]
pub(super) struct Root {
    /// What the pieces are of.
    pub(super) position: Position,
    generation: u64,
    digest: u128,
}

/// Pieces of one index.
#[derive(Debug)]
pub(super) struct Pieces {
    tree: sled::Tree,
    roots: sled::Tree,
    /// Our own handle of sled's file: it syncs only some of what it writes.
    data_file: File,
    generation: u64,
    digest: u128,
    /// Generation and digest of every piece that counts.
    counting: HashMap<Box<[u8]>, (u64, u128)>,
    /// What was saved last; the next save writes the difference.
    last: Option<Index>,
}

impl Pieces {
    /// No pieces.
    pub(super) fn create(db: &sled::Db, directory: &Path) -> Result<Self, String> {
        let tree = db.open_tree("pieces").map_err(text)?;
        let roots = db.open_tree("root").map_err(text)?;
        let data_file = File::open(directory.join("db")).map_err(text)?;
        Ok(Self { tree, roots, data_file, generation: 0, digest: 0, counting: HashMap::new(), last: None })
    }

    /// The pieces that are there, and their root.
    ///
    /// # Errors
    /// What is wrong with it; there is nothing to load then.
    pub(super) fn open(db: &sled::Db, directory: &Path) -> Result<(Self, Root), String> {
        let mut pieces = Self::create(db, directory)?;
        let value = pieces.roots.get(ROOT).map_err(text)?.ok_or("nothing was saved yet")?;
        let root = root_of(&value)?;
        pieces.generation = root.generation;
        Ok((pieces, root))
    }

    /// The index of that root.
    ///
    /// # Errors
    /// What is wrong with its pieces.
    pub(super) fn load(&mut self, archive: Arc<dyn Archive>, root: &Root) -> Result<Index, String> {
        let mut loading = Loading::new(archive, root.position.link.revision);
        let mut superseded: Vec<sled::IVec> = Vec::new();
        // The newest piece so far of the name that is looked at: they lie in the order of names and generations.
        let mut newest: Option<(sled::IVec, sled::IVec)> = None;
        for piece in &self.tree.clone() {
            let (key, bytes) = piece.map_err(text)?;
            let (name, generation) = named(&key)?;
            if generation > root.generation {
                superseded.push(key);
                continue;
            }
            match newest.take() {
                Some((before, _)) if named(&before)?.0 == name => superseded.push(before),
                Some((before, bytes)) => self.take(&before, &bytes, &mut loading)?,
                None => {}
            }
            newest = Some((key, bytes));
        }
        if let Some((key, bytes)) = newest {
            self.take(&key, &bytes, &mut loading)?;
        }
        if self.digest != root.digest {
            return Err("its pieces are not those that were saved".to_owned());
        }
        for key in superseded {
            self.tree.remove(key).map_err(text)?;
        }
        let index = loading.finish().map_err(text)?;
        self.last = Some(index.clone());
        Ok(index)
    }

    /// Takes a piece that counts.
    fn take(&mut self, key: &[u8], bytes: &[u8], loading: &mut Loading) -> Result<(), String> {
        let (name, generation) = named(key)?;
        let digest = digest_of(key, bytes);
        self.digest = self.digest.wrapping_add(digest);
        self.counting.insert(name.into(), (generation, digest));
        // It may not be what was saved, which only the digest of all tells: nothing is believed before that.
        loading.take(name, bytes).map_err(text)
    }

    /// Saves an index.
    ///
    /// # Errors
    /// Why it is not saved.
    pub(super) fn save(&mut self, saved: &Snapshot) -> Result<(), String> {
        if self.last.as_ref().is_some_and(|last| last.revision() == saved.index.revision()) {
            return Ok(());
        }
        let generation = self.generation + 1;
        let mut batch = sled::Batch::default();
        let mut count = 0;
        let mut put: Vec<(Vec<u8>, u128)> = Vec::new();
        let mut written = Ok(());
        saved.index.image(self.last.as_ref(), &mut |name, bytes| {
            let key = stored_key(&name, generation);
            put.push((name, digest_of(&key, &bytes)));
            batch.insert(key, bytes);
            count += 1;
            if count % BATCH_PIECES == 0 && written.is_ok() {
                written = self.tree.apply_batch(std::mem::take(&mut batch));
            }
        });
        written.and_then(|()| self.tree.apply_batch(batch)).map_err(text)?;
        // Pieces before the root that speaks of them.
        self.sync()?;
        let mut digest = self.digest;
        for (name, added) in &put {
            let before = self.counting.get(name.as_slice()).map_or(0, |(_, before)| *before);
            digest = digest.wrapping_sub(before).wrapping_add(*added);
        }
        let root = Root { position: saved.position, generation, digest };
        self.roots.insert(ROOT, root_value(&root)).map_err(text)?;
        self.sync()?;

        (self.generation, self.digest, self.last) = (generation, digest, Some(saved.index.clone()));
        for (name, added) in put {
            let before = self.counting.insert(name.as_slice().into(), (generation, added));
            if let Some((before, _)) = before {
                self.tree.remove(stored_key(&name, before)).map_err(text)?;
            }
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), String> {
        self.tree.flush().map_err(text)?;
        self.data_file.sync_data().map_err(text)
    }
}

fn text(error: impl ToString) -> String {
    error.to_string()
}

/// Name and generation of a stored piece.
fn named(key: &[u8]) -> Result<(&[u8], u64), String> {
    let (name, generation) = key.split_last_chunk::<GENERATION_LEN>().ok_or("a piece without generation")?;
    Ok((name, u64::from_be_bytes(*generation)))
}

fn stored_key(name: &[u8], generation: u64) -> Vec<u8> {
    [name, &generation.to_be_bytes()].concat()
}

/// A piece that lies under another name, or has another generation, has another digest.
fn digest_of(key: &[u8], bytes: &[u8]) -> u128 {
    let length = (key.len() as u64).to_le_bytes();
    let hash = blake3::Hasher::new().update(&length).update(key).update(bytes).finalize();
    hash.as_bytes().first_chunk().map_or(0, |half| u128::from_le_bytes(*half))
}

fn root_value(root: &Root) -> Vec<u8> {
    let Position { store, epoch, link } = root.position;
    let mut value = RootValue {
        format_version: FORMAT_VERSION,
        store: store.0.as_bytes().to_vec(),
        epoch,
        revision: link.revision.get(),
        chain_hash: link.chain_hash.0.to_vec(),
        generation: root.generation,
        digest: root.digest.to_le_bytes().to_vec(),
        hash: Vec::new(),
    };
    value.hash = blake3::hash(&value.encode_to_vec()).as_bytes().to_vec();
    value.encode_to_vec()
}

fn root_of(bytes: &[u8]) -> Result<Root, String> {
    let mut value = RootValue::decode(bytes).map_err(|_| "its root cannot be read")?;
    let hash = std::mem::take(&mut value.hash);
    if blake3::hash(&value.encode_to_vec()).as_bytes() != hash.as_slice() {
        return Err("the hash of its root does not fit".to_owned());
    }
    if value.format_version != FORMAT_VERSION {
        return Err(format!("it has format version {}, this version reads {FORMAT_VERSION}", value.format_version));
    }
    let damaged = || "its root cannot be read".to_owned();
    let link = Link {
        revision: Revision::from(value.revision),
        chain_hash: ChainHash(value.chain_hash.try_into().map_err(|_| damaged())?),
    };
    let store = StoreId(Uuid::from_slice(&value.store).map_err(|_| damaged())?);
    let digest = u128::from_le_bytes(value.digest.try_into().map_err(|_| damaged())?);
    Ok(Root { position: Position { store, epoch: value.epoch, link }, generation: value.generation, digest })
}
