//! What was worked out from columns for the rows of a layout, for as long as both are the same: a question that is asked again
//! costs a row what it costs to show it, however many units it has, and however much else has changed.
//!
//! Columns and layouts are never changed while somebody else knows them, so that where they lie tells them from all others.

use std::{
    any::Any,
    fmt,
    sync::{Arc, OnceLock, Weak},
};

use quick_cache::{Weighter, sync::Cache};

use super::{Column, Layout};

/// Rows that are kept, of all layouts together.
const ROWS_MAX: u64 = 500_000;
/// Tables of rows that such a cache is made for.
const TABLES: usize = 2_000;

/// What a table is worked out from: where it lies, in a fixed order.
pub type Origin = Vec<usize>;

/// What was worked out for each row.
pub type Rows<T> = Box<[OnceLock<T>]>;

#[derive(Clone)]
struct Kept {
    rows: Arc<dyn Any + Send + Sync>,
    count: usize,
    /// While these are there, nothing else lies where they lay.
    _columns: Arc<[Weak<Column>]>,
    _layout: Weak<Layout>,
}

#[derive(Clone)]
struct ByRows;

impl Weighter<Origin, Kept> for ByRows {
    fn weight(&self, _: &Origin, kept: &Kept) -> u64 {
        kept.count as u64 + 1
    }
}

/// Tables that are kept.
pub struct Memo(Cache<Origin, Kept, ByRows>);

impl Default for Memo {
    fn default() -> Self {
        Self(Cache::with_weighter(TABLES, ROWS_MAX, ByRows))
    }
}

impl fmt::Debug for Memo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Memo").field(&self.0.len()).finish()
    }
}

impl Memo {
    /// The table of what is worked out from these columns in this way, which `way` tells from other ways, for the rows of a
    /// layout. What is not worked out yet is empty.
    pub fn rows<T: Send + Sync + 'static>(
        &self,
        way: &[usize],
        layout: &Arc<Layout>,
        columns: &[&Arc<Column>],
    ) -> Arc<Rows<T>> {
        let place = |column: &&Arc<Column>| Arc::as_ptr(column) as usize;
        let mut origin = way.to_vec();
        origin.push(Arc::as_ptr(layout) as usize);
        origin.extend(columns.iter().map(place));
        let kept = self.0.get(&origin).and_then(|kept| kept.rows.downcast::<Rows<T>>().ok());
        kept.unwrap_or_else(|| {
            let rows: Arc<Rows<T>> = Arc::new(layout.rows.iter().map(|_| OnceLock::new()).collect());
            let kept = Kept {
                rows: rows.clone(),
                count: layout.rows.len(),
                _columns: columns.iter().map(|column| Arc::downgrade(column)).collect(),
                _layout: Arc::downgrade(layout),
            };
            self.0.insert(origin, kept);
            rows
        })
    }
}

#[cfg(test)]
mod tests {
    use shared::model::report::Value;

    use super::*;
    use crate::index::LaidRow;

    #[test]
    fn a_table_is_of_its_way_its_layout_and_its_columns_as_they_are() {
        let memo = Memo::default();
        let row = || LaidRow {
            row: shared::model::query::RowUnit::None,
            units: Arc::default(),
            bits: Vec::new(),
            levels: Vec::new(),
            has_newcomers: false,
        };
        let layout = Arc::new(Layout { rows: vec![row(), row()] });
        let (mut column, other) = (Arc::new(Column::default()), Arc::new(Column::default()));
        let table = memo.rows::<u32>(&[1], &layout, &[&column]);
        assert_eq!(table[1].get_or_init(|| 7), &7);
        assert_eq!(memo.rows::<u32>(&[1], &layout, &[&column])[1].get(), Some(&7));
        assert_eq!(memo.rows::<u32>(&[2], &layout, &[&column])[1].get(), None, "another way");
        assert_eq!(memo.rows::<u32>(&[1], &layout, &[&column, &other])[1].get(), None, "more columns");
        assert_eq!(memo.rows::<u32>(&[1], &Arc::new((*layout).clone()), &[&column])[1].get(), None, "another layout");
        // Even if nobody else has it, a column that is changed becomes another.
        for unit in 0..1_000 {
            Arc::make_mut(&mut column).put(unit, &Value::Flag(true), 1);
            let table = memo.rows::<u32>(&[1], &layout, &[&column]);
            assert_eq!(table[0].get(), None, "after {unit}");
            assert_eq!(table[0].get_or_init(|| unit), &unit);
        }
    }
}
