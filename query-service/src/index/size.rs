//! How large an index is, as far as that is cheap to say.

use super::Index;

/// How much an index knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Versions of reports.
    pub versions: u64,
    /// Columns.
    pub columns: u64,
    /// Cells of columns of which something is known.
    pub cells: u64,
    /// Bytes of columns in memory.
    pub column_bytes: u64,
}

impl Index {
    /// How large it is. Looks at every column, not at every cell.
    pub fn size(&self) -> Size {
        let mut size = Size { versions: self.versions.places().len() as u64, ..Size::default() };
        for column in self.about.values().flat_map(|about| about.own.values()).flat_map(|columns| columns.values()) {
            size.columns += 1;
            size.cells += column.cell_count();
            size.column_bytes += column.byte_count() as u64;
        }
        size
    }
}
