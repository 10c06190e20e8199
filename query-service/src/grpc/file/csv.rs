//! Comma-separated values.
//!
//! Texts stand as they are, also those that a spreadsheet would take for a formula (`=`, `+`, `-`, `@` at the start): a
//! character put before them would change the data for everybody else. Whoever opens a file of strangers in a
//! spreadsheet imports its columns as text.

use std::mem;

use ::csv::{Terminator, Writer, WriterBuilder};

use super::{
    Error,
    column::{Column, Frame, Type},
};

/// A file that is being written.
pub(super) struct File {
    ready: Vec<u8>,
}

impl File {
    /// A file with its header.
    pub(super) fn new(fields: &[(&'static str, Type)]) -> Result<Self, Error> {
        let mut file = Self { ready: Vec::new() };
        file.write(|writer| writer.write_record(fields.iter().map(|(name, _)| name)))?;
        Ok(file)
    }

    /// Appends rows.
    pub(super) fn append<R>(&mut self, columns: &[Column<R>], frame: &Frame, rows: &[R]) -> Result<(), Error> {
        self.write(|writer| {
            for row in rows {
                for column in columns {
                    let cell = (column.cell)(frame, row).written();
                    writer.write_field(cell.as_deref().unwrap_or_default())?;
                }
                writer.write_record(None::<&[u8]>)?;
            }
            Ok(())
        })
    }

    fn write(&mut self, records: impl FnOnce(&mut Writer<Vec<u8>>) -> Result<(), ::csv::Error>) -> Result<(), Error> {
        let mut writer = WriterBuilder::new().terminator(Terminator::CRLF).from_writer(mem::take(&mut self.ready));
        records(&mut writer)?;
        // It can only fail as writing into memory can.
        self.ready = writer.into_inner().map_err(|error| ::csv::Error::from(error.into_error()))?;
        Ok(())
    }

    /// What is ready.
    pub(super) fn take(&mut self) -> Vec<u8> {
        mem::take(&mut self.ready)
    }
}
