//! What has to be answered, by plain arithmetic over the cells. Slow, and without any of the services' code.

use std::collections::BTreeMap;

use super::Workload;

/// Indicators of the ratio.
pub const RATIO: (usize, usize) = (30, 31);
/// The indicator of the other questions about flags.
pub const FLAG: usize = 0;
/// The indicator by which districts are ranked.
pub const RANKED: usize = 10;
/// How many districts are asked for.
pub const TOP: usize = 10;

/// A row: the name of its group, and its numbers.
pub type Row = (String, Vec<i64>);

impl Workload {
    /// The district that is asked about.
    pub fn asked(&self) -> &str {
        self.district(0)
    }

    /// Share of a flag by province in one quarter: yes, reported.
    pub fn share_by_province(&self) -> Vec<Row> {
        self.grouped(|unit| (self.province(unit), self.said(FLAG, self.last(), unit)))
    }

    /// National share of a flag in each quarter: yes, reported.
    pub fn share_by_quarter(&self) -> Vec<Row> {
        let quarter = |quarter| {
            let said = (0..self.size.units).filter_map(|unit| self.said(FLAG, quarter, unit));
            let (yes, reported) = said.fold((0, 0), |(yes, reported), said| (yes + i64::from(said), reported + 1));
            (self.period(quarter), vec![yes, reported])
        };
        (0..self.size.quarters).map(quarter).collect()
    }

    /// The districts with the greatest sums of a count in one quarter, with those tied with the last of them.
    pub fn top_districts(&self) -> Vec<Row> {
        let mut rows = self.grouped(|unit| (self.district(unit), self.said(RANKED, self.last(), unit)));
        rows.iter_mut().for_each(|(_, numbers)| numbers.truncate(1));
        rows.sort_by(|(id, a), (other, b)| b.cmp(a).then(id.cmp(other)));
        let least = rows.get(TOP - 1).map_or(0, |(_, numbers)| numbers[0]);
        rows.retain(|(_, numbers)| numbers[0] >= least);
        rows
    }

    /// Ratio of two counts over a year by province: both sums over the units that reported both in all four quarters.
    pub fn ratio_by_province(&self) -> Vec<Row> {
        let year = |indicator, unit| -> Option<i64> {
            let quarters = (0..4).map(|quarter| self.said(indicator, self.last() - quarter, unit).map(i64::from));
            quarters.sum()
        };
        let mut sums: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
        for unit in 0..self.size.units {
            let (numerator, denominator) = RATIO;
            if let (Some(numerator), Some(denominator)) = (year(numerator, unit), year(denominator, unit)) {
                let sum = sums.entry(self.province(unit)).or_insert_with(|| vec![0, 0]);
                sum[0] += numerator;
                sum[1] += denominator;
            }
        }
        sums.into_iter().map(|(id, sums)| (id.to_owned(), sums)).collect()
    }

    /// Share of a flag in one district in one quarter: yes, reported.
    pub fn share_in_district(&self) -> Vec<Row> {
        let mut rows = self.grouped(|unit| (self.district(unit), self.said(FLAG, self.last(), unit)));
        rows.retain(|(id, _)| id == self.asked());
        rows
    }

    /// Share of a flag by province by what was last known of each unit: yes, reported.
    pub fn last_known_by_province(&self) -> Vec<Row> {
        let newest = |unit| (0..self.size.quarters).rev().find_map(|quarter| self.said(FLAG, quarter, unit));
        self.grouped(|unit| (self.province(unit), newest(unit)))
    }

    /// Sum and count of what the units of each group say; no row where nobody says anything.
    fn grouped<'a>(&'a self, said: impl Fn(usize) -> (&'a str, Option<u32>)) -> Vec<Row> {
        let mut rows: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
        for (group, value) in (0..self.size.units).map(said) {
            if let Some(value) = value {
                let row = rows.entry(group).or_insert_with(|| vec![0, 0]);
                row[0] += i64::from(value);
                row[1] += 1;
            }
        }
        rows.into_iter().map(|(group, row)| (group.to_owned(), row)).collect()
    }
}
