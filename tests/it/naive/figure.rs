//! A measure of the numbers that the units of a row report.

use proto::v1::{
    Figure,
    figure::{EmptyReason, Measure},
    indicator::ValueKind,
    observation::Qualifier,
};

use super::{
    Answer, Living, Question, Refused, World,
    amount::Amount,
    cell::Said,
    measure::Taking,
    number::{End, Number},
    question::Slot,
    row::{Fact, Row},
};

impl World {
    pub fn aggregate(&self, question: &Question) -> Result<Answer<Figure>, Refused> {
        self.check_figure(question)?;
        let slots = self.check_units(question)?;
        let mut figures = Vec::new();
        for slot in &slots {
            let living = self.living(&slot.day);
            let rows = self.figure_rows(question, slot, &living);
            figures.extend(rows.iter().map(|row| self.figure_row(question, slot, &living, row)));
        }
        Ok(Self::covered(question, figures, |figure| question.is_enough(figure.coverage.as_ref())))
    }

    pub fn figure_rows<'a>(&'a self, question: &Question, slot: &Slot, living: &Living) -> Vec<Row<'a>> {
        let asks = question.asks(slot, self.measure(question));
        self.rows(question, slot, living, &|unit| self.fact(&asks, living, unit))
    }

    pub fn taking(&self, question: &Question) -> Taking {
        let over = (!question.denominator.is_empty()).then(|| self.kind(&question.denominator));
        Taking { measure: self.measure(question), kind: self.kind(&question.indicator), over, per: question.per() }
    }

    pub fn figure_row(&self, question: &Question, slot: &Slot, living: &Living, row: &Row<'_>) -> Figure {
        let taking = self.taking(question);
        let asks = question.asks(slot, taking.measure);
        let counts = row.counts();
        let certain: Vec<&Fact<'_>> = row.certain.iter().collect();
        let undetermined: Vec<&Fact<'_>> = row.undetermined.iter().collect();
        let measured = taking.take(&certain, &undetermined);
        let claims = self.claims(&asks[0], living, row);
        let written = |number: Number| if measured.is_quotient { number.with_places(6) } else { number.plain() };
        let end = |end: Option<End>| (end.map(|end| written(end.at)), end.is_some_and(|end| end.open));
        let (lower, lower_exclusive) = end(measured.bounds.lower);
        let (upper, upper_exclusive) = end(measured.bounds.upper);
        let empty_reason = match measured.value {
            Some(_) => EmptyReason::Unspecified,
            None => self.silence(&asks[..1], row, false).unwrap_or(measured.empty_reason),
        };
        let unused = match empty_reason {
            EmptyReason::OtherPeriods => Self::unused(&self.other_periods(&asks[..1], row)),
            EmptyReason::OtherScopes => Self::unused(&self.other_scopes(&asks[..1], row)),
            _ => Vec::new(),
        };
        let in_measure = |said: &Said<'_>| {
            let Some(amount) = Amount::said(said.value(), Qualifier::Exact) else { return String::new() };
            match taking.measure {
                Measure::Sum | Measure::Last => amount.number.plain(),
                Measure::Ratio if taking.kind == ValueKind::Ratio => amount.quotient(taking.per).number.with_places(6),
                _ => String::new(),
            }
        };
        let (numerator, denominator) = measured.parts.map(|(a, b)| (a.plain(), b.plain())).unwrap_or_default();
        let qualifier = measured.value.map(|(_, qualifier)| qualifier).filter(|q| *q != Qualifier::Exact);
        let counts_carried = question.last_known || taking.measure == Measure::Last;
        Figure {
            unit: row.unit.clone(),
            name: row.name.clone(),
            attribute_value: row.attribute_value.clone(),
            value: measured.value.map(|(number, _)| written(number)),
            qualifier: qualifier.map_or(0, Into::into),
            lower,
            lower_exclusive,
            upper,
            upper_exclusive,
            unit_of_measure: self.definition(&question.indicator, &slot.day).unit_of_measure.clone(),
            currency: measured.currency,
            reported: Some(counts.reported),
            not_reported: Some(counts.not_reported),
            withheld: Some(counts.withheld),
            not_applicable: Some(counts.not_applicable),
            expected: Some(counts.expected()),
            undetermined: row.undetermined(question),
            expected_basis: self.expected_basis(&slot.day).into(),
            published: claims.of_figure(in_measure),
            contested: Some(row.contested()),
            findings: Some(claims.all_findings(&self.findings_of(row))),
            carried: counts_carried.then(|| row.carried()),
            undated: (!question.published_until.is_empty()).then(|| claims.all_undated(&row.undated())),
            coverage: counts.coverage(),
            empty_reason: empty_reason.into(),
            unused,
            comparability: self.caveats(&asks, row),
            numerator,
            denominator,
            on: slot.day.clone(),
            period: slot.period.clone(),
        }
    }
}
