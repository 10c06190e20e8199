//! The share of units for which a flag is set.

use proto::v1::{Share, figure::EmptyReason, observation::Value};

use super::{
    Answer, Living, Question, Refused, World,
    cell::{Ask, State},
    number::Number,
    question::Slot,
    row::{Fact, Row, count, part, timed},
};

impl Fact<'_> {
    /// What it says of a flag, if it says yes or no; by its definition it may not arise all the same.
    pub fn flag(&self, cell: usize) -> Option<bool> {
        match self.cells[cell].counts.first()?.value() {
            Value::Flag(flag) if self.state == State::Reported => Some(*flag),
            _ => None,
        }
    }
}

/// What a row comes to if only these units are in it; none if none says yes or no.
pub fn share_of<'f>(facts: impl Iterator<Item = &'f Fact<'f>> + Clone) -> Option<Number> {
    let said = count(facts.clone().filter(|fact| fact.flag(0).is_some()).count());
    let yes = count(facts.filter(|fact| fact.flag(0) == Some(true)).count());
    (said > 0).then(|| (Number::whole(yes) / Number::whole(said)).rounded(6))
}

impl World {
    pub fn share(&self, question: &Question) -> Result<Answer<Share>, Refused> {
        let slots = self.check_share(question)?;
        let mut shares = Vec::new();
        for slot in &slots {
            let living = self.living(&slot.day);
            let rows = self.share_rows(question, slot, &living);
            shares.extend(rows.iter().map(|row| self.share_row(question, slot, &living, row)));
        }
        Ok(Self::covered(question, shares, |share| question.is_enough(share.coverage.as_ref())))
    }

    pub fn share_rows<'a>(&'a self, question: &Question, slot: &Slot, living: &Living) -> Vec<Row<'a>> {
        let asks = question.asks(slot, question.measure);
        self.rows(question, slot, living, &|unit| self.fact(&asks, living, unit))
    }

    pub fn share_row(&self, question: &Question, slot: &Slot, living: &Living, row: &Row<'_>) -> Share {
        let asks: Vec<Ask<'_>> = question.asks(slot, question.measure);
        let counts = row.counts();
        let yes = count(row.certain.iter().filter(|fact| fact.flag(0) == Some(true)).count());
        let no = counts.reported - yes;
        let applicable = counts.applicable();
        let undetermined = |flag| count(row.undetermined.iter().filter(|fact| fact.flag(0) == flag).count());
        let (may_yes, may_no) = (undetermined(Some(true)), undetermined(Some(false)));
        let may_silent = count(row.undetermined.iter().filter(|fact| fact.is_silent()).count());
        let claims = self.claims(&asks[0], living, row);
        let empty_reason = self.silence(&asks, row, true).unwrap_or(EmptyReason::Unspecified);
        let share = Share {
            unit: row.unit.clone(),
            name: row.name.clone(),
            attribute_value: row.attribute_value.clone(),
            share: part(yes, yes + no),
            lower: part(yes, applicable + may_no + may_silent),
            upper: part(
                yes + counts.not_reported + counts.withheld + may_yes + may_silent,
                applicable + may_yes + may_silent,
            ),
            yes: Some(yes),
            no: Some(no),
            not_reported: Some(counts.not_reported),
            withheld: Some(counts.withheld),
            not_applicable: Some(counts.not_applicable),
            expected: Some(counts.expected()),
            expected_basis: self.expected_basis(&slot.day).into(),
            published: claims.of_share(),
            contested: Some(row.contested()),
            findings: Some(claims.all_findings(&self.findings_of(row))),
            carried: question.last_known.then(|| row.carried()),
            undated: (!question.published_until.is_empty()).then(|| claims.all_undated(&row.undated())),
            undetermined: row.undetermined(question),
            coverage: counts.coverage(),
            empty_reason: empty_reason.into(),
            comparability: self.caveats(&asks, row),
            ..Share::default()
        };
        timed(question, slot, share)
    }
}
