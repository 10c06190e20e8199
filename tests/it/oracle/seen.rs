//! What the answers of a run have shown: that they are equal says something only if much was asked.

use std::collections::BTreeMap;

use proto::v1::{
    Comparison, Distribution, Figure, Share,
    comparison::{SideA, SideB},
    figure::Measure,
    rank_response::place,
    series::point,
};

use super::{Asked, Rows};

/// How often something was seen.
#[derive(Debug, Default)]
pub struct Seen {
    of: BTreeMap<String, usize>,
}

/// What a run has to have seen.
const LOOKED_FOR: &[&str] = &[
    "event",
    "report",
    "refused Unknown",
    "refused Forbidden",
    "measure SUM",
    "measure COUNT",
    "measure MIN",
    "measure MAX",
    "measure MEAN",
    "measure MEDIAN",
    "measure RATIO",
    "measure RATIO of two",
    "measure LAST",
    "measure VALUE",
    "share NO_UNITS",
    "share ALL_NOT_APPLICABLE",
    "share WITHHELD",
    "share UNDATED",
    "share OTHER_SCOPES",
    "share NOTHING_REPORTED",
    "share published",
    "share undetermined",
    "figure NO_UNITS",
    "figure ALL_NOT_APPLICABLE",
    "figure WITHHELD",
    "figure UNDATED",
    "figure OTHER_PERIODS",
    "figure OTHER_SCOPES",
    "figure NOTHING_REPORTED",
    "figure CURRENCIES_DIFFER",
    "figure NO_SINGLE_NUMBER",
    "figure published",
    "figure undetermined",
    "figure unused",
    "figure lower",
    "figure upper",
    "figure lower exclusive",
    "figure upper exclusive",
    "caveat INCOMPLETE",
    "caveat NOT_ACTUAL",
    "caveat BASIS_MIXED",
    "caveat DEFINITIONS_MIXED",
    "caveat TILED",
    "caveat CARRIED_FORWARD",
    "caveat UNITS_CHANGED",
    "caveat CONTESTED",
    "qualifier MORE_THAN",
    "qualifier AT_LEAST",
    "qualifier LESS_THAN",
    "qualifier AT_MOST",
    "qualifier ABOUT",
    "row unassignable",
    "row none",
    "row of a value",
    "row of a time",
    "findings",
    "undated",
    "carried",
    "below coverage",
    "series UNITS_CHANGED",
    "series DEFINITION_CHANGED",
    "place",
    "place certain",
    "place uncertain",
    "place shared",
    "no place",
    "distribution",
    "distribution either",
    "distribution partial",
    "distribution printed",
    "distribution findings",
    "distribution shares",
    "distribution OTHER_PERIODS",
    "distribution OTHER_SCOPES",
    "difference",
    "difference bounds",
    "behaviour",
    "reporting",
    "reorganisation",
    "relative",
    "transitions",
    "definition changed",
];

impl Seen {
    pub fn count(&mut self, what: impl Into<String>) {
        *self.of.entry(what.into()).or_default() += 1;
    }

    pub fn add(&mut self, other: Self) {
        for (what, times) in other.of {
            *self.of.entry(what).or_default() += times;
        }
    }

    fn count_if(&mut self, what: impl Into<String>, is_so: bool) {
        if is_so {
            self.count(what);
        }
    }

    /// What was looked for and not seen.
    pub fn missing(&self) -> Vec<&'static str> {
        LOOKED_FOR.iter().copied().filter(|what| !self.of.contains_key(*what)).collect()
    }

    pub fn see(&mut self, asked: Asked<'_>, rows: &Rows) {
        self.count("compared");
        let below = match rows {
            Rows::Shares(answer) => {
                answer.rows.iter().for_each(|share| self.see_share(share));
                answer.below
            }
            Rows::Figures(answer) => {
                answer.rows.iter().for_each(|figure| self.see_figure(asked, figure));
                answer.below
            }
            Rows::Series(answer) => {
                for series in &answer.rows {
                    for found in &series.breaks {
                        self.count(format!("series {}", found.cause().as_str_name()));
                    }
                    for point in &series.points {
                        match point.result.as_ref().unwrap() {
                            point::Result::Share(share) => self.see_share(share),
                            point::Result::Figure(figure) => self.see_figure(asked, figure),
                        }
                    }
                }
                answer.below
            }
            Rows::Places(answer) => {
                let mut before = None;
                for place in &answer.rows {
                    self.count(if place.place.is_some() { "place" } else { "no place" });
                    self.count_if("place certain", place.is_certain);
                    self.count_if("place uncertain", place.best < place.worst);
                    self.count_if("place shared", place.place.is_some() && before == place.place);
                    before = place.place;
                    match place.result.as_ref().unwrap() {
                        place::Result::Share(share) => self.see_share(share),
                        place::Result::Figure(figure) => self.see_figure(asked, figure),
                        place::Result::Completeness(_) => {}
                    }
                }
                answer.below
            }
            Rows::Distributions(answer) => {
                answer.rows.iter().for_each(|distribution| self.see_distribution(distribution));
                answer.below
            }
            Rows::Comparisons(answer) => {
                answer.rows.iter().for_each(|comparison| self.see_comparison(asked, comparison));
                answer.below
            }
        };
        self.count_if("below coverage", below > Some(0));
    }

    fn see_row(&mut self, unit: &str, value: &str, caveats: impl Iterator<Item = &'static str>) {
        self.count_if("row unassignable", unit == "unassignable");
        self.count_if("row none", unit == "none");
        self.count_if("row of a value", !value.is_empty());
        caveats.for_each(|caveat| self.count(format!("caveat {caveat}")));
    }

    fn see_share(&mut self, share: &Share) {
        self.count(format!("share {}", share.empty_reason().as_str_name()));
        self.count_if("share published", !share.published.is_empty());
        self.count_if("share undetermined", share.undetermined > Some(0));
        self.count_if("row of a time", !share.on.is_empty());
        self.count_if("findings", share.findings > Some(0));
        self.count_if("undated", share.undated > Some(0));
        self.count_if("carried", share.carried > Some(0));
        self.see_row(&share.unit, &share.attribute_value, share.comparability().map(|caveat| caveat.as_str_name()));
    }

    fn see_figure(&mut self, asked: Asked<'_>, figure: &Figure) {
        let measure = asked.question.measure;
        let of_two = if asked.question.denominator.is_empty() { "" } else { " of two" };
        self.count_if(format!("measure {}{of_two}", measure.as_str_name()), figure.value.is_some());
        self.count(format!("figure {}", figure.empty_reason().as_str_name()));
        self.count_if(format!("qualifier {}", figure.qualifier().as_str_name()), figure.qualifier != 0);
        self.count_if("figure published", !figure.published.is_empty());
        self.count_if("figure undetermined", figure.undetermined > Some(0));
        self.count_if("figure unused", !figure.unused.is_empty());
        let is_number = measure != Measure::Count;
        self.count_if("figure lower", is_number && figure.lower.is_some());
        self.count_if("figure upper", is_number && figure.upper.is_some());
        self.count_if("figure lower exclusive", figure.lower_exclusive);
        self.count_if("figure upper exclusive", figure.upper_exclusive);
        self.count_if("findings", figure.findings > Some(0));
        self.count_if("undated", figure.undated > Some(0));
        self.count_if("carried", figure.carried > Some(0));
        self.see_row(&figure.unit, &figure.attribute_value, figure.comparability().map(|caveat| caveat.as_str_name()));
    }

    fn see_distribution(&mut self, row: &Distribution) {
        self.count("distribution");
        self.count(format!("distribution {}", row.empty_reason().as_str_name()));
        self.count_if("distribution either", row.either.is_some());
        self.count_if("distribution partial", row.partial > Some(0));
        self.count_if("distribution printed", row.classes.iter().any(|class| !class.printed.is_empty()));
        self.count_if("distribution findings", !row.findings.is_empty());
        self.count_if("distribution shares", row.partial == Some(0) && row.classes.iter().any(|c| c.share.is_some()));
        self.see_row(&row.unit, &row.attribute_value, row.comparability().map(|caveat| caveat.as_str_name()));
    }

    fn see_comparison(&mut self, asked: Asked<'_>, comparison: &Comparison) {
        let moved =
            |part: &Option<String>| part.as_ref().is_some_and(|part| part.bytes().any(|b| b > b'0' && b <= b'9'));
        self.count_if("difference", moved(&comparison.difference));
        let has_bounds = comparison.difference_lower.is_some() || comparison.difference_upper.is_some();
        self.count_if("difference bounds", has_bounds);
        self.count_if("relative", moved(&comparison.relative));
        self.count_if("behaviour", moved(&comparison.behaviour));
        self.count_if("reporting", moved(&comparison.reporting));
        self.count_if("reorganisation", moved(&comparison.reorganisation));
        self.count_if("definition changed", comparison.definition_changed);
        let moves = comparison.transitions.as_ref();
        self.count_if("transitions", moves.is_some_and(|moves| moves.started > Some(0) || moves.stopped > Some(0)));
        match &comparison.side_a {
            Some(SideA::ShareA(share)) => self.see_share(share),
            Some(SideA::FigureA(figure)) => self.see_figure(asked, figure),
            None => self.count("no side"),
        }
        match &comparison.side_b {
            Some(SideB::ShareB(share)) => self.see_share(share),
            Some(SideB::FigureB(figure)) => self.see_figure(asked, figure),
            None => self.count("no side"),
        }
    }
}
