//! The national workload: every commune of the register reports every indicator in every quarter, but for the twentieth
//! part that is silent. Made from a seed by plain integer arithmetic, so that another program can make the same.
//!
//! A cell is (indicator, quarter, unit), each counted from 0; units are the communes of the register in the order of its
//! file, and beyond its last one again from the first, as copies in the same districts. With the constants of SplitMix64,
//! all arithmetic modulo 2^64:
//!
//! ```text
//! z = (indicator * 2^48 + quarter * 2^32 + unit) + seed * 0x9E3779B97F4A7C15
//! z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9
//! z = (z ^ z >> 27) * 0x94D049BB133111EB
//! z =  z ^ z >> 31
//! ```
//!
//! Where z is a multiple of 20 the unit is silent. Else h = z >> 32 says the value: the indicators 0 to 9 are flags, set
//! where h is a multiple of 3; all others are counts, h modulo 1000.
//!
//! The last quarter is always 2024-Q4. `tests/benches/compare/workload.py` makes the same.

pub mod answers;

use std::collections::BTreeMap;

use proto::v1::{
    Indicator, Observation, Report, Source, SubmitReportRequest, Unit,
    indicator::{RollUp, Temporality, ValueKind},
    observation::Value,
    unit::Level,
};

use crate::fixtures;

/// Indicators below this number are flags, the others counts.
pub const FLAGS: usize = 10;
/// Observations in one report at most.
pub const REPORT_OBSERVATIONS: usize = 20;
/// The year of the last quarter.
const LAST_YEAR: usize = 2024;
/// The register is complete on every day that is asked about.
pub const COMPLETE_FROM: &str = "2000-01-01";

/// How large it is, and from which seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Units that report.
    pub units: usize,
    /// What they report.
    pub indicators: usize,
    /// For how many quarters.
    pub quarters: usize,
    /// Another seed is another workload.
    pub seed: u64,
}

/// The workload of one size.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Its size.
    pub size: Size,
    /// Country, provinces and districts.
    above: Vec<Unit>,
    /// Communes of the register.
    communes: Vec<Unit>,
    /// Province of each district.
    province_of: BTreeMap<String, String>,
}

impl Workload {
    /// A workload on the register of June 2025.
    pub fn new(size: Size) -> Self {
        let (communes, above): (Vec<Unit>, Vec<Unit>) =
            fixtures::units().into_iter().partition(|unit| unit.level() == Level::Commune);
        let districts = above.iter().filter(|unit| unit.level() == Level::District);
        let province_of = districts.map(|unit| (unit.id.clone(), unit.parent.clone())).collect();
        Self { size, above, communes, province_of }
    }

    /// What a unit says; nothing if it is silent.
    pub fn said(&self, indicator: usize, quarter: usize, unit: usize) -> Option<u32> {
        let number = |number: usize| u64::try_from(number).expect("it is small");
        let cell = (number(indicator) << 48) + (number(quarter) << 32) + number(unit);
        let z = cell.wrapping_add(self.size.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let z = z ^ (z >> 31);
        let h = u32::try_from(z >> 32).expect("it has 32 bits");
        let value = if indicator < FLAGS { u32::from(h.is_multiple_of(3)) } else { h % 1000 };
        (!z.is_multiple_of(20)).then_some(value)
    }

    /// Every unit, parents first.
    pub fn register(&self) -> impl Iterator<Item = Unit> {
        let unit = |number| {
            let commune = &self.communes[number % self.communes.len()];
            Unit { id: self.unit_id(number), ..commune.clone() }
        };
        self.above.iter().cloned().chain((0..self.size.units).map(unit))
    }

    /// Id of a unit that reports.
    pub fn unit_id(&self, unit: usize) -> String {
        let id = &self.communes[unit % self.communes.len()].id;
        match unit / self.communes.len() {
            0 => id.clone(),
            copy => format!("{id}-{copy}"),
        }
    }

    /// The district of a unit that reports.
    pub fn district(&self, unit: usize) -> &str {
        &self.communes[unit % self.communes.len()].parent
    }

    /// The province of a unit that reports.
    pub fn province(&self, unit: usize) -> &str {
        &self.province_of[self.district(unit)]
    }

    /// A quarter as it is written; those after the last one go on.
    pub fn period(&self, quarter: usize) -> String {
        let number = LAST_YEAR * 4 + 4 - self.size.quarters + quarter;
        format!("{}-Q{}", number / 4, number % 4 + 1)
    }

    /// The last quarter.
    pub fn last(&self) -> usize {
        self.size.quarters - 1
    }

    /// Definitions of the indicators.
    pub fn indicators(&self) -> Vec<Indicator> {
        let indicator = |number| {
            let is_flag = number < FLAGS;
            let (kind, temporality, roll_up) = if is_flag {
                (ValueKind::Flag, Temporality::State, RollUp::ShareOfUnits)
            } else {
                (ValueKind::Count, Temporality::Flow, RollUp::Sum)
            };
            Indicator {
                id: indicator_id(number),
                names: [("en".to_owned(), indicator_id(number))].into(),
                value_kind: kind.into(),
                temporality: temporality.into(),
                roll_up: roll_up.into(),
                ..Indicator::default()
            }
        };
        (0..self.size.indicators).map(indicator).collect()
    }

    /// Reports in which a unit says everything about one quarter.
    pub fn parts(&self) -> usize {
        self.size.indicators.div_ceil(REPORT_OBSERVATIONS)
    }

    /// One of these reports, and how many observations are in it; nothing if the unit is silent about all of it.
    pub fn report(&self, unit: usize, quarter: usize, part: usize) -> Option<(SubmitReportRequest, usize)> {
        let first = part * REPORT_OBSERVATIONS;
        let observation = |indicator| {
            let value = self.said(indicator, quarter, unit)?;
            let value = if indicator < FLAGS { Value::Flag(value == 1) } else { Value::Count(value.into()) };
            Some(Observation { indicator: indicator_id(indicator), value: Some(value), ..Observation::default() })
        };
        let last = (first + REPORT_OBSERVATIONS).min(self.size.indicators);
        let observations: Vec<Observation> = (first..last).filter_map(observation).collect();
        let count = observations.len();
        let report = Report {
            unit: self.unit_id(unit),
            period: self.period(quarter),
            source: Some(Source { title: format!("Report {part}"), ..Source::default() }),
            observations,
            ..Report::default()
        };
        (count > 0).then_some((SubmitReportRequest { report: Some(report), ..Default::default() }, count))
    }
}

/// Id of an indicator.
pub fn indicator_id(number: usize) -> String {
    let kind = if number < FLAGS { "flag" } else { "count" };
    format!("{kind}_{number:02}")
}
