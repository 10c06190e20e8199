//! An index in pieces of bytes, and back. A piece holds a part of the index under a name; an index that has grown differs
//! from its earlier copy in few of them. Pure.
//!
//! | name | piece |
//! |---|---|
//! | `t` number | a chunk of ends of changes: revision, seconds, nanoseconds |
//! | `g` number | a chunk of revisions that changed the registry; it is folded again from their entries |
//! | `v` number | a chunk of versions |
//! | `s` number | a chunk of spans |
//! | `u` number | a chunk of units by their number |
//! | `b` | the bits of indicators |
//! | `l` indicator `/` number | a chunk of what is said of others about an indicator |
//! | `c` hash 0 | what a column is about, and its shape |
//! | `c` hash number | a block of it, the first one is 1 |
//! | `d` revision | what was added up to that revision since the piece before: versions that ended, posts, findings, filings |
//!
//! Numbers in names are big-endian, numbers in pieces little-endian; pieces with fields are messages of protobuf. No name is
//! the beginning of another.

use std::{collections::BTreeMap, str::FromStr, sync::Arc};

use jiff::{Timestamp, civil::Date};
use prost::Message;
use rpds::VectorSync;
use shared::model::{
    ids::{IndicatorId, ReportName, UnitId},
    log::Revision,
    period::Span,
};

use super::{
    About, Index, Split,
    chunks::Chunks,
    codes::{Bits, Codes, WORDS},
    column::{Block, Column, Kind, Shape},
    versions::{VersionRecord, Versions},
};
use crate::archive::Archive;

/// What makes pieces no index.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Damaged(pub String);

impl Damaged {
    fn of(what: &str) -> Self {
        Self(format!("{what} cannot be read"))
    }
}

#[derive(Clone, PartialEq, Message)]
struct ColumnPiece {
    #[prost(string, tag = "1")]
    indicator: String,
    #[prost(message, repeated, tag = "2")]
    by: Vec<Pair>,
    #[prost(string, optional, tag = "3")]
    first_day: Option<String>,
    #[prost(string, optional, tag = "4")]
    last_day: Option<String>,
    #[prost(message, optional, tag = "5")]
    shape: Option<ShapePiece>,
}

#[derive(Clone, PartialEq, Message)]
struct Pair {
    #[prost(string, tag = "1")]
    dimension: String,
    #[prost(string, tag = "2")]
    code: String,
}

#[derive(Clone, PartialEq, Message)]
struct ShapePiece {
    /// As [`kind_number`] counts them.
    #[prost(uint32, tag = "1")]
    kind: u32,
    #[prost(string, tag = "2")]
    currency: String,
    #[prost(uint32, tag = "3")]
    version: u32,
    #[prost(uint32, tag = "4")]
    scale: u32,
    #[prost(string, repeated, tag = "5")]
    codes: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct BlockPiece {
    #[prost(bytes = "vec", tag = "1")]
    present: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    rare: Vec<u8>,
    #[prost(message, optional, tag = "3")]
    numbers: Option<CodesPiece>,
    #[prost(message, optional, tag = "4")]
    wholes: Option<CodesPiece>,
}

#[derive(Clone, PartialEq, Message)]
struct CodesPiece {
    /// Bytes of a code; 0: bits.
    #[prost(uint32, tag = "1")]
    width: u32,
    #[prost(sint64, tag = "2")]
    least: i64,
    #[prost(bytes = "vec", tag = "3")]
    codes: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct TextsPiece {
    #[prost(string, repeated, tag = "1")]
    texts: Vec<String>,
    #[prost(uint32, repeated, tag = "2")]
    numbers: Vec<u32>,
}

#[derive(Clone, PartialEq, Message)]
struct AddedPiece {
    /// Pairs of a version and the revision that ended it.
    #[prost(uint64, repeated, tag = "1")]
    ended: Vec<u64>,
    /// Pairs of a unit and a version that says something of it.
    #[prost(uint32, repeated, tag = "2")]
    posts: Vec<u32>,
    /// Report and version that a finding names; its version and place there.
    #[prost(uint64, repeated, tag = "3")]
    named: Vec<u64>,
    #[prost(message, repeated, tag = "4")]
    filed: Vec<FiledPiece>,
}

#[derive(Clone, PartialEq, Message)]
struct FiledPiece {
    #[prost(string, tag = "1")]
    form: String,
    #[prost(string, tag = "2")]
    unit: String,
    #[prost(uint32, repeated, tag = "3")]
    versions: Vec<u32>,
}

impl Index {
    /// Puts every piece in which this index differs from an earlier copy of it, or every piece there is.
    pub fn image(&self, before: Option<&Self>, put: &mut dyn FnMut(Vec<u8>, Vec<u8>)) {
        chunk_pieces(b"t", &self.times, before.map(|it| &it.times), put, |(end, recorded), bytes| {
            bytes.extend_from_slice(&end.get().to_le_bytes());
            bytes.extend_from_slice(&recorded.as_second().to_le_bytes());
            bytes.extend_from_slice(&recorded.subsec_nanosecond().to_le_bytes());
        });
        chunk_pieces(b"g", &self.registered, before.map(|it| &it.registered), put, |revision, bytes| {
            bytes.extend_from_slice(&revision.get().to_le_bytes());
        });
        self.versions.image(before.map(|it| &it.versions), put);
        for (indicator, about) in &self.about {
            let about_before = before.and_then(|it| it.about.get(indicator));
            if !about_before.is_some_and(|before| Arc::ptr_eq(before, about)) {
                about.image(indicator, about_before.map(Arc::as_ref), put);
            }
        }
        let added = self.added(before);
        if added != AddedPiece::default() {
            put(name(b"d", &self.revision.get().to_be_bytes()), added.encode_to_vec());
        }
    }

    /// What was added to the tables that only grow.
    fn added(&self, before: Option<&Self>) -> AddedPiece {
        let revision = before.map_or(Revision::ZERO, |it| it.revision);
        let version = before.map_or(0, |it| it.versions.places().end);
        let mut named: Vec<[u64; 4]> = Vec::new();
        for ((report, named_version), findings) in &self.named_by {
            let new = findings.iter().filter(|(finding, _)| *finding > revision);
            named.extend(new.map(|(finding, place)| [report.0, named_version.get(), finding.get(), *place as u64]));
        }
        let mut filed = Vec::new();
        for ((form, unit), versions) in &self.filed {
            let mut new: Vec<u32> = versions.iter().rev().copied().take_while(|place| *place >= version).collect();
            new.reverse();
            if !new.is_empty() {
                filed.push(FiledPiece { form: form.clone(), unit: unit.as_str().to_owned(), versions: new });
            }
        }
        named.sort_unstable();
        filed.sort_unstable_by(|a, b| (&a.form, &a.unit).cmp(&(&b.form, &b.unit)));
        AddedPiece {
            ended: self.versions.ended_after(revision).into_iter().flatten().collect(),
            posts: self.versions.posts_since(before.map(|it| &it.versions)),
            named: named.into_iter().flatten().collect(),
            filed,
        }
    }

    fn take_added(&mut self, added: &AddedPiece) -> Result<(), Damaged> {
        self.versions.take_added(&added.ended, &added.posts)?;
        for named in added.named.chunks(4) {
            let [report, version, finding, place] = named else { return Err(Damaged::of("a finding")) };
            let key = (ReportName(*report), Revision::from(*version));
            let mut findings = self.named_by.get(&key).cloned().unwrap_or_default();
            let place = usize::try_from(*place).map_err(|_| Damaged::of("a finding"))?;
            findings.push_back_mut((Revision::from(*finding), place));
            self.named_by.insert_mut(key, findings);
        }
        for FiledPiece { form, unit, versions } in &added.filed {
            let key = (form.clone(), parsed::<UnitId>(unit)?);
            let mut filed: VectorSync<u32> = self.filed.get(&key).cloned().unwrap_or_default();
            filed.extend(versions.iter().copied());
            self.filed.insert_mut(key, filed);
        }
        Ok(())
    }

    fn fold_registry(&mut self) -> Result<(), Damaged> {
        let registered = self.registered.clone();
        for revision in registered.iter_from(0) {
            let entry = self.archive.entry(*revision);
            let entry = entry.ok_or_else(|| Damaged(format!("entry {revision} cannot be read")))?;
            self.registry.apply_part(*revision, &entry.change);
            if entry.ends_change {
                self.registry.settle();
                self.registries.note(*revision, &self.registry);
            }
        }
        Ok(())
    }
}

/// An index that is put together from its pieces.
#[derive(Debug)]
pub struct Loading {
    index: Index,
    abouts: BTreeMap<IndicatorId, About>,
    /// The column whose blocks come next.
    column: Option<(ColumnPiece, Column)>,
    added: Vec<AddedPiece>,
}

impl Loading {
    /// An index up to that revision, whose entries lie in the archive; no piece of it is there yet.
    pub fn new(archive: Arc<dyn Archive>, revision: Revision) -> Self {
        let mut index = Index::new(archive);
        index.revision = revision;
        Self { index, abouts: BTreeMap::new(), column: None, added: Vec::new() }
    }

    /// Takes the next piece; they come in the order of their names.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn take(&mut self, name: &[u8], bytes: &[u8]) -> Result<(), Damaged> {
        let (kind, rest) = name.split_first().ok_or_else(|| Damaged::of("a name"))?;
        let index = &mut self.index;
        match kind {
            b't' => index.times.push_chunk(records(bytes, end_of_change)?).ok_or_else(|| Damaged::of("ends")),
            b'g' => {
                let revisions = records(bytes, |bytes: &[u8; 8]| Some(Revision::from(u64::from_le_bytes(*bytes))))?;
                index.registered.push_chunk(revisions).ok_or_else(|| Damaged::of("revisions"))
            }
            b'v' | b's' | b'u' | b'b' => index.versions.take_piece(*kind, bytes),
            b'l' => {
                let at = rest.iter().position(|byte| *byte == b'/').ok_or_else(|| Damaged::of("a name"))?;
                let indicator = parsed(std::str::from_utf8(&rest[..at]).unwrap_or_default())?;
                let below = records(bytes, |bytes: &[u8; 8]| {
                    let (place, index) = bytes.split_first_chunk::<4>()?;
                    Some((u32::from_le_bytes(*place), u32::from_le_bytes(index.try_into().ok()?)))
                })?;
                let about = self.abouts.entry(indicator).or_default();
                about.below.push_chunk(below).ok_or_else(|| Damaged::of("what is said of others"))
            }
            b'c' => self.take_column(rest, bytes),
            b'd' => {
                self.added.push(AddedPiece::decode(bytes).map_err(|_| Damaged::of("what was added"))?);
                Ok(())
            }
            _ => Err(Damaged::of("a name")),
        }
    }

    /// What a column is about, or one of its blocks.
    fn take_column(&mut self, name: &[u8], bytes: &[u8]) -> Result<(), Damaged> {
        let number = name.last_chunk::<4>().map(|number| u32::from_be_bytes(*number) as usize);
        let number = number.filter(|number| *number <= BLOCKS_MAX).ok_or_else(|| Damaged::of("a block"))?;
        let Some(block) = number.checked_sub(1) else {
            self.put_column()?;
            let piece = ColumnPiece::decode(bytes).map_err(|_| Damaged::of("a column"))?;
            let shape = piece.shape.as_ref().map(shape_of).transpose()?;
            self.column = Some((piece, Column { shape, blocks: Vec::new() }));
            return Ok(());
        };
        let (_, column) = self.column.as_mut().ok_or_else(|| Damaged::of("a block without column"))?;
        // Blocks in which nothing is have no piece.
        column.blocks.resize_with(column.blocks.len().max(block), Arc::default);
        column.blocks.insert(block, Arc::new(block_of(bytes)?));
        Ok(())
    }

    /// The column is whole.
    fn put_column(&mut self) -> Result<(), Damaged> {
        let Some((piece, mut column)) = self.column.take() else { return Ok(()) };
        column.blocks.shrink_to_fit();
        let by: Result<Split, Damaged> =
            piece.by.iter().map(|Pair { dimension, code }| Ok((parsed(dimension)?, parsed(code)?))).collect();
        let span = Span { first_day: day(piece.first_day.as_deref())?, last_day: day(piece.last_day.as_deref())? };
        let about = self.abouts.entry(parsed(&piece.indicator)?).or_default();
        about.own.entry(by?).or_default().insert(span, Arc::new(column));
        Ok(())
    }

    /// The index. Entries of the registry are read from the archive.
    ///
    /// # Errors
    /// What is wrong with the pieces. Pieces that were changed on the way may also make another index: who keeps them has to
    /// notice.
    pub fn finish(mut self) -> Result<Index, Damaged> {
        self.put_column()?;
        let Self { mut index, abouts, added, .. } = self;
        for (indicator, about) in abouts {
            index.about.insert_mut(indicator, Arc::new(about));
        }
        index.versions.settle();
        for piece in &added {
            index.take_added(piece)?;
        }
        index.versions.shrink();
        index.fold_registry()?;
        Ok(index)
    }
}

/// Bytes of the hash that names a column.
const HASH_LEN: usize = 16;
/// A name that was changed must not make a column of any length.
const BLOCKS_MAX: usize = 1 << 22;

impl About {
    fn image(&self, indicator: &IndicatorId, before: Option<&Self>, put: &mut dyn FnMut(Vec<u8>, Vec<u8>)) {
        let prefix = [b"l", indicator.as_str().as_bytes(), b"/"].concat();
        chunk_pieces(&prefix, &self.below, before.map(|it| &it.below), put, |(place, index), bytes| {
            bytes.extend_from_slice(&place.to_le_bytes());
            bytes.extend_from_slice(&index.to_le_bytes());
        });
        for (by, columns) in &self.own {
            for (span, column) in columns {
                let column_before = before.and_then(|it| it.own.get(by)?.get(span));
                if !column_before.is_some_and(|before| Arc::ptr_eq(before, column)) {
                    column_pieces(indicator, by, span, column, column_before.map(Arc::as_ref), put);
                }
            }
        }
    }
}

fn column_pieces(
    indicator: &IndicatorId,
    by: &Split,
    span: &Span,
    column: &Column,
    before: Option<&Column>,
    put: &mut dyn FnMut(Vec<u8>, Vec<u8>),
) {
    let by = by
        .iter()
        .map(|(dimension, code)| Pair { dimension: dimension.as_str().to_owned(), code: code.as_str().to_owned() });
    let mut piece = ColumnPiece {
        indicator: indicator.as_str().to_owned(),
        by: by.collect(),
        first_day: span.first_day.map(|day| day.to_string()),
        last_day: span.last_day.map(|day| day.to_string()),
        shape: None,
    };
    let hash = blake3::hash(&piece.encode_to_vec());
    let prefix = name(b"c", &hash.as_bytes()[..HASH_LEN]);
    if before.is_none_or(|before| before.shape != column.shape) {
        piece.shape = column.shape.as_ref().map(shape_piece);
        put(name(&prefix, &[0; 4]), piece.encode_to_vec());
    }
    for (number, block) in column.blocks.iter().enumerate() {
        let same = before.and_then(|it| it.blocks.get(number));
        let is_shared = same.is_some_and(|same| Arc::ptr_eq(same, block));
        // One that is as if nothing had ever been put into it still has to replace a piece that says otherwise.
        if is_shared || is_untouched(block) && same.is_none_or(|same| is_untouched(same)) {
            continue;
        }
        let number = u32::try_from(number + 1).expect("there are fewer than 2^32 units");
        put(name(&prefix, &number.to_be_bytes()), block_piece(block).encode_to_vec());
    }
}

/// Whether nothing was ever put into a block.
fn is_untouched(block: &Block) -> bool {
    let Block { present, rare, numbers, wholes } = block;
    *present == [0; WORDS] && *rare == [0; WORDS] && *numbers == Codes::default() && wholes.is_none()
}

impl Versions {
    fn image(&self, before: Option<&Self>, put: &mut dyn FnMut(Vec<u8>, Vec<u8>)) {
        chunk_pieces(b"v", &self.records, before.map(|it| &it.records), put, |record, bytes| {
            let VersionRecord { revision, said, unit, span, first, link } = record;
            bytes.extend_from_slice(&revision.get().to_le_bytes());
            bytes.extend_from_slice(&said.to_le_bytes());
            [unit, span, first, link].into_iter().for_each(|number| bytes.extend_from_slice(&number.to_le_bytes()));
        });
        for (number, spans) in self.spans.chunks_since(before.map(|it| &it.spans)) {
            let days = spans.iter().flat_map(|span| [span.first_day, span.last_day]);
            let texts = days.map(|day| day.map(|day| day.to_string()).unwrap_or_default()).collect();
            put(name(b"s", &chunk_number(number)), TextsPiece { texts, numbers: Vec::new() }.encode_to_vec());
        }
        for (number, units) in self.units.chunks_since(before.map(|it| &it.units)) {
            let texts = units.iter().map(|unit| unit.as_str().to_owned()).collect();
            put(name(b"u", &chunk_number(number)), TextsPiece { texts, numbers: Vec::new() }.encode_to_vec());
        }
        if before.is_none_or(|before| before.bits.size() != self.bits.size()) {
            let mut bits: Vec<(String, u32)> =
                self.bits.iter().map(|(indicator, bit)| (indicator.as_str().to_owned(), *bit)).collect();
            bits.sort_unstable();
            let (texts, numbers) = bits.into_iter().unzip();
            put(b"b".to_vec(), TextsPiece { texts, numbers }.encode_to_vec());
        }
    }

    fn take_piece(&mut self, kind: u8, bytes: &[u8]) -> Result<(), Damaged> {
        let damaged = || Damaged::of("a table of versions");
        if kind == b'v' {
            return self.records.push_chunk(records(bytes, version_record)?).ok_or_else(damaged);
        }
        let TextsPiece { texts, numbers } = TextsPiece::decode(bytes).map_err(|_| damaged())?;
        match kind {
            b'b' => {
                for (indicator, bit) in texts.iter().zip(numbers) {
                    self.bits.insert_mut(parsed(indicator)?, bit % u64::BITS);
                }
            }
            b's' => {
                let day_or_open = |text: &String| day(Some(text.as_str()).filter(|text| !text.is_empty()));
                let spans = texts.chunks(2).map(|days| match days {
                    [first, last] => Ok(Span { first_day: day_or_open(first)?, last_day: day_or_open(last)? }),
                    _ => Err(damaged()),
                });
                self.spans.push_chunk(spans.collect::<Result<_, _>>()?).ok_or_else(damaged)?;
            }
            _ => {
                let units = texts.iter().map(|text| parsed::<UnitId>(text)).collect::<Result<_, _>>()?;
                self.units.push_chunk(units).ok_or_else(damaged)?;
            }
        }
        Ok(())
    }
}

fn version_record(bytes: &[u8; 32]) -> Option<VersionRecord> {
    let (revision, rest) = bytes.split_first_chunk::<8>()?;
    let (said, rest) = rest.split_first_chunk::<8>()?;
    let (unit, rest) = rest.split_first_chunk::<4>()?;
    let (span, rest) = rest.split_first_chunk::<4>()?;
    let (first, rest) = rest.split_first_chunk::<4>()?;
    Some(VersionRecord {
        revision: Revision::from(u64::from_le_bytes(*revision)),
        said: u64::from_le_bytes(*said),
        unit: u32::from_le_bytes(*unit),
        span: u32::from_le_bytes(*span),
        first: u32::from_le_bytes(*first),
        link: u32::from_le_bytes(rest.try_into().ok()?),
    })
}

fn end_of_change(bytes: &[u8; 20]) -> Option<(Revision, Timestamp)> {
    let (end, rest) = bytes.split_first_chunk::<8>()?;
    let (second, rest) = rest.split_first_chunk::<8>()?;
    let nanosecond = i32::from_le_bytes(rest.try_into().ok()?);
    let recorded = Timestamp::new(i64::from_le_bytes(*second), nanosecond).ok()?;
    Some((Revision::from(u64::from_le_bytes(*end)), recorded))
}

fn shape_piece(shape: &Shape) -> ShapePiece {
    let currency = match &shape.kind {
        Kind::Money(currency) => currency.clone(),
        _ => String::new(),
    };
    let codes = shape.codes.iter().map(|code| code.as_str().to_owned()).collect();
    ShapePiece { kind: kind_number(&shape.kind), currency, version: shape.version, scale: shape.scale, codes }
}

fn kind_number(kind: &Kind) -> u32 {
    match kind {
        Kind::Flag => 1,
        Kind::Count => 2,
        Kind::Decimal => 3,
        Kind::Percent => 4,
        Kind::Ratio => 5,
        Kind::Money(_) => 6,
        Kind::Category => 7,
    }
}

fn shape_of(piece: &ShapePiece) -> Result<Shape, Damaged> {
    let kind = match piece.kind {
        1 => Kind::Flag,
        2 => Kind::Count,
        3 => Kind::Decimal,
        4 => Kind::Percent,
        5 => Kind::Ratio,
        6 => Kind::Money(piece.currency.clone()),
        7 => Kind::Category,
        _ => return Err(Damaged::of("a kind of values")),
    };
    let codes = piece.codes.iter().map(|code| parsed(code)).collect::<Result<_, _>>()?;
    Ok(Shape { kind, version: piece.version, scale: piece.scale, codes })
}

fn block_piece(block: &Block) -> BlockPiece {
    BlockPiece {
        present: bits_bytes(&block.present),
        rare: bits_bytes(&block.rare),
        numbers: Some(codes_piece(&block.numbers)),
        wholes: block.wholes.as_ref().map(codes_piece),
    }
}

fn block_of(bytes: &[u8]) -> Result<Block, Damaged> {
    let piece = BlockPiece::decode(bytes).map_err(|_| Damaged::of("a block"))?;
    Ok(Block {
        present: bits_of(&piece.present)?,
        rare: bits_of(&piece.rare)?,
        numbers: piece.numbers.as_ref().map(codes_of).transpose()?.unwrap_or_default(),
        wholes: piece.wholes.as_ref().map(codes_of).transpose()?,
    })
}

fn codes_piece(codes: &Codes) -> CodesPiece {
    let (width, least, codes) = match codes {
        Codes::Bits(bits) => (0, 0, bits_bytes(bits)),
        Codes::Narrow(least, codes) => (1, *least, codes.clone()),
        Codes::Middle(least, codes) => (2, *least, codes.iter().flat_map(|code| code.to_le_bytes()).collect()),
        Codes::Wide(least, codes) => (4, *least, codes.iter().flat_map(|code| code.to_le_bytes()).collect()),
        Codes::Full(numbers) => (8, 0, numbers.iter().flat_map(|number| number.to_le_bytes()).collect()),
    };
    CodesPiece { width, least, codes }
}

fn codes_of(piece: &CodesPiece) -> Result<Codes, Damaged> {
    Ok(match piece.width {
        0 => Codes::Bits(Box::new(bits_of(&piece.codes)?)),
        1 => Codes::Narrow(piece.least, piece.codes.clone()),
        2 => Codes::Middle(piece.least, records(&piece.codes, |bytes| Some(u16::from_le_bytes(*bytes)))?),
        4 => Codes::Wide(piece.least, records(&piece.codes, |bytes| Some(u32::from_le_bytes(*bytes)))?),
        8 => Codes::Full(records(&piece.codes, |bytes| Some(i64::from_le_bytes(*bytes)))?),
        _ => return Err(Damaged::of("a width")),
    })
}

fn bits_bytes(bits: &Bits) -> Vec<u8> {
    bits.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn bits_of(bytes: &[u8]) -> Result<Bits, Damaged> {
    let words = records(bytes, |bytes| Some(u64::from_le_bytes(*bytes)))?;
    words.try_into().map_err(|_| Damaged::of("bits"))
}

/// A piece for each chunk that an earlier copy does not share.
fn chunk_pieces<T: Clone>(
    prefix: &[u8],
    chunks: &Chunks<T>,
    before: Option<&Chunks<T>>,
    put: &mut dyn FnMut(Vec<u8>, Vec<u8>),
    write: impl Fn(&T, &mut Vec<u8>),
) {
    for (number, chunk) in chunks.chunks_since(before) {
        let mut bytes = Vec::new();
        chunk.iter().for_each(|element| write(element, &mut bytes));
        put(name(prefix, &chunk_number(number)), bytes);
    }
}

fn chunk_number(number: usize) -> [u8; 4] {
    u32::try_from(number).expect("there are fewer than 2^32 chunks").to_be_bytes()
}

fn name(prefix: &[u8], rest: &[u8]) -> Vec<u8> {
    [prefix, rest].concat()
}

/// Elements of so many bytes each.
fn records<T, const LEN: usize>(bytes: &[u8], read: impl Fn(&[u8; LEN]) -> Option<T>) -> Result<Vec<T>, Damaged> {
    let (chunks, rest) = bytes.as_chunks::<LEN>();
    if !rest.is_empty() {
        return Err(Damaged::of("a table"));
    }
    chunks.iter().map(|bytes| read(bytes).ok_or_else(|| Damaged::of("an element of a table"))).collect()
}

fn parsed<T: FromStr>(text: &str) -> Result<T, Damaged> {
    text.parse().map_err(|_| Damaged::of("an id"))
}

fn day(text: Option<&str>) -> Result<Option<Date>, Damaged> {
    text.map(|text| text.parse().map_err(|_| Damaged::of("a day"))).transpose()
}
