//! Answers as files.
//!
//! | format | what it is |
//! |---|---|
//! | CSV | RFC 4180 in UTF-8 with one header; columns in the order of SDMX-CSV 2.0: structure, dimensions, measure, attributes, then our own |
//! | Arrow | the stream format of Apache Arrow IPC; the same columns in lower case, and what the answer rests on in the schema |
//!
//! Each kind of row has one list of columns (`observations`, `shares`, `figures`), from which both formats are written, so
//! that they cannot say different things. What a row does not say is an empty field or a null, never a 0.
//!
//! `OBS_VALUE` is the value of a row as text, with the digits that it has in the answer. The quotient of a ratio has six
//! digits, rounded half up, as in every answer; its two counts stand beside it. The stream adds `obs_value_decimal`, a
//! `Decimal128(38, 10)`, where the number fits exactly.
//!
//! Several values in one field are joined by `;`, with `=` between a key and its code. What has parts of its own
//! (`PUBLISHED`, `UNUSED`, `READINGS`) is a JSON array. SDMX calls such columns custom columns.

mod arrow;
mod column;
mod csv;
mod figures;
mod observations;
mod sdmx;
mod shares;

use std::collections::BTreeMap;

use proto::v1::{self, figure::Measure, list_observations_response::Row, observation::Scope};

use self::column::{Column, Frame, Type};

/// Rows that one [`Writer::push`] is best given: about 64 KiB of file, and one record batch of the stream.
pub const ROWS_PER_PUSH: usize = 100;

/// As what a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Comma-separated values.
    Csv,
    /// The stream format of Apache Arrow IPC.
    Arrow,
}

/// What the rows of a file are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What reports say.
    Observations,
    /// Shares of units.
    Shares,
    /// Sums, ratios, means and the like.
    Figures,
}

/// Some rows of a file.
#[derive(Clone, Debug)]
pub enum Rows {
    /// What reports say.
    Observations(Vec<Row>),
    /// Shares of units.
    Shares(Vec<v1::Share>),
    /// Sums, ratios, means and the like.
    Figures(Vec<v1::Figure>),
}

impl Rows {
    /// What they are.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Observations(_) => Kind::Observations,
            Self::Shares(_) => Kind::Shares,
            Self::Figures(_) => Kind::Figures,
        }
    }
}

/// What holds for every row of a file.
#[derive(Clone, Debug)]
pub struct Head<'a> {
    /// What the answer rests on. The stream keeps it in its schema, CSV has no place for it.
    pub meta: &'a v1::Meta,
    /// Id of the indicator asked for; empty for observations, whose rows name theirs.
    pub indicator: &'a str,
    /// What was asked, as far as the rows do not repeat it.
    pub question: Question,
}

/// What was asked, as far as the rows do not repeat it. The default says nothing.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// Shares and figures: the day counted, YYYY-MM-DD, also where it follows from the period. A row's own day goes first.
    pub on: String,
    /// Shares and figures: the period asked for, as written. A row's own period goes first.
    pub period: String,
    /// Figures: what was computed, with the default of the indicator's roll-up filled in.
    pub measure: Measure,
    /// Figures: whose values; not said is OWN.
    pub scope: Scope,
    /// Figures: which split.
    pub by: BTreeMap<String, String>,
    /// Figures, for RATIO: the indicator of the denominator, if another one.
    pub denominator: String,
    /// Figures, for RATIO: the quotient is given per so many.
    pub per: String,
    /// Observations: what is counted or measured, by id of the indicator.
    pub units_of_measure: BTreeMap<String, String>,
}

/// Why a file cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Rows of another kind than those of the file.
    #[error("rows of {actual:?} do not belong into a file of {expected:?}")]
    OtherKind {
        /// What the file holds.
        expected: Kind,
        /// What was given.
        actual: Kind,
    },
    /// A day is not written as one.
    #[error("{text:?} in {column} is no day")]
    Day {
        /// Name of the column.
        column: &'static str,
        /// What it says.
        text: String,
    },
    /// A CSV record cannot be written.
    #[error("the CSV cannot be written")]
    Csv(#[from] ::csv::Error),
    /// A record batch cannot be written.
    #[error("the Arrow stream cannot be written")]
    Arrow(#[from] arrow_schema::ArrowError),
}

/// Writes a file piece by piece. The pieces that [`Writer::take`] and [`Writer::finish`] give, put together in their
/// order, are the file; a file without rows has its header or schema. It holds what was not yet taken and no more.
///
/// ```text
/// new ─▶ take ─▶ push ─▶ take ─▶ push ─▶ take ─▶ … ─▶ finish
/// ```
pub struct Writer {
    kind: Kind,
    frame: Frame,
    row_count: i64,
    output: Output,
}

enum Output {
    Csv(csv::File),
    // A stream is ten times the size of the other.
    Arrow(Box<arrow::File>),
}

impl Writer {
    /// Begins a file with its header or schema.
    ///
    /// # Errors
    /// [`Error::Csv`] or [`Error::Arrow`] if that cannot be written.
    pub fn new(format: Format, kind: Kind, head: &Head<'_>) -> Result<Self, Error> {
        let fields = fields(kind);
        let output = match format {
            Format::Csv => Output::Csv(csv::File::new(&fields)?),
            Format::Arrow => Output::Arrow(Box::new(arrow::File::new(&fields, head)?)),
        };
        Ok(Self { kind, frame: Frame::new(kind, head), row_count: 0, output })
    }

    /// Appends rows. Those of one call become one record batch of a stream, so give it some, best [`ROWS_PER_PUSH`].
    ///
    /// # Errors
    /// [`Error::OtherKind`] for rows of another kind; [`Error::Day`], [`Error::Csv`] or [`Error::Arrow`] if they cannot be
    /// written. What was written of them is of no use then.
    pub fn push(&mut self, rows: Rows) -> Result<(), Error> {
        match (self.kind, rows) {
            (Kind::Observations, Rows::Observations(rows)) => self.append(observations::COLUMNS, &rows),
            (Kind::Shares, Rows::Shares(rows)) => self.append(shares::COLUMNS, &rows),
            (Kind::Figures, Rows::Figures(rows)) => self.append(figures::COLUMNS, &rows),
            (expected, rows) => Err(Error::OtherKind { expected, actual: rows.kind() }),
        }
    }

    fn append<R>(&mut self, columns: &[Column<R>], rows: &[R]) -> Result<(), Error> {
        if rows.is_empty() {
            return Ok(());
        }
        match &mut self.output {
            Output::Csv(file) => file.append(columns, &self.frame, rows)?,
            Output::Arrow(file) => file.append(columns, &self.frame, rows)?,
        }
        self.row_count = self.row_count.saturating_add(i64::try_from(rows.len()).unwrap_or(i64::MAX));
        Ok(())
    }

    /// The bytes that are ready and were not taken before; may be none.
    pub fn take(&mut self) -> Vec<u8> {
        match &mut self.output {
            Output::Csv(file) => file.take(),
            Output::Arrow(file) => file.take(),
        }
    }

    /// Rows so far.
    pub fn row_count(&self) -> i64 {
        self.row_count
    }

    /// Ends the file: the bytes that were not taken before.
    ///
    /// # Errors
    /// [`Error::Arrow`] if the end of a stream cannot be written.
    pub fn finish(self) -> Result<Vec<u8>, Error> {
        match self.output {
            Output::Csv(mut file) => Ok(file.take()),
            Output::Arrow(file) => file.finish(),
        }
    }
}

/// Names and types of the columns of a kind of file.
fn fields(kind: Kind) -> Vec<(&'static str, Type)> {
    fn of<R>(columns: &[Column<R>]) -> Vec<(&'static str, Type)> {
        columns.iter().map(|column| (column.name, column.kind)).collect()
    }
    match kind {
        Kind::Observations => of(observations::COLUMNS),
        Kind::Shares => of(shares::COLUMNS),
        Kind::Figures => of(figures::COLUMNS),
    }
}

#[cfg(test)]
mod tests;
