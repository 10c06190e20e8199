//! Which questions the rules forbid.

use proto::v1::{
    figure::Measure,
    indicator::{RollUp, Temporality, ValueKind},
    observation::Scope,
};

use super::{Living, Question, Refused, Time, World, cell::said_scope, groups::Group, number::Number, question::Slot};

fn unless(is_broken: bool) -> Result<(), Refused> {
    if is_broken { Err(Refused::Forbidden) } else { Ok(()) }
}

impl World {
    /// What holds for every question: its times.
    fn check(&self, question: &Question, indicators: &[&String]) -> Result<Vec<Slot>, Refused> {
        // What is wrong with the form of a question is found before its names are looked up.
        let slots = question.slots().ok_or(Refused::Forbidden)?;
        if !self.knows(question) {
            return Err(Refused::Unknown);
        }
        unless(!self.knows_attribute(question))?;
        let is_of_days = !matches!(question.time, Time::On(_));
        unless(!self.allows_filters(question, is_of_days))?;
        // A flow is of a period, and what happened in one says nothing about the next.
        let no_flow = !is_of_days || question.last_known;
        unless(no_flow && indicators.iter().any(|indicator| self.is_flow(indicator)))?;
        Ok(slots)
    }

    pub fn check_share(&self, question: &Question) -> Result<Vec<Slot>, Refused> {
        let slots = self.check(question, &[&question.indicator])?;
        unless(self.indicator(&question.indicator).value_kind() != ValueKind::Flag)?;
        Ok(slots)
    }

    /// What can be told of a question without the units.
    pub fn check_form(&self, question: &Question) -> Result<Vec<Slot>, Refused> {
        self.check(question, &[])?;
        if self.kind(&question.indicator) == ValueKind::Flag {
            self.check_share(question)
        } else {
            self.check_figure(question)
        }
    }

    pub fn check_figure(&self, question: &Question) -> Result<Vec<Slot>, Refused> {
        let has_denominator = !question.denominator.is_empty();
        let mut indicators = vec![&question.indicator];
        indicators.extend(has_denominator.then_some(&question.denominator));
        let slots = self.check(question, &indicators)?;
        let indicator = self.indicator(&question.indicator);
        let is_number = |kind: ValueKind| {
            !matches!(kind, ValueKind::Flag | ValueKind::Category | ValueKind::Direction | ValueKind::Change)
        };
        unless(!is_number(indicator.value_kind()))?;
        let measure = self.measure(question);
        unless(has_denominator && measure != Measure::Ratio)?;
        let adds = |id: &str| matches!(self.indicator(id).roll_up(), RollUp::Sum | RollUp::Last);
        let allowed = match (indicator.roll_up(), measure) {
            (_, Measure::Ratio) if has_denominator => {
                adds(&question.indicator) && adds(&question.denominator) && is_number(self.kind(&question.denominator))
            }
            (RollUp::Sum | RollUp::Last | RollUp::Distribution, Measure::Last) => {
                indicator.temporality() == Temporality::Stock && !matches!(question.time, Time::On(_))
            }
            (RollUp::Sum | RollUp::Last | RollUp::Distribution, measure) => measure != Measure::Ratio,
            (RollUp::RatioOfSums, Measure::Ratio) => true,
            (
                RollUp::RatioOfSums | RollUp::None,
                Measure::Count | Measure::Min | Measure::Max | Measure::Median | Measure::Value,
            ) => true,
            _ => false,
        };
        unless(!allowed)?;
        let is_ratio =
            measure == Measure::Ratio || indicator.value_kind() == ValueKind::Ratio && measure != Measure::Count;
        unless(question.per() != Number::whole(1) && !is_ratio)?;
        Ok(slots)
    }

    /// What depends on the units counted, too.
    pub fn check_units(&self, question: &Question) -> Result<Vec<Slot>, Refused> {
        let slots = self.check_form(question)?;
        for slot in &slots {
            let living = self.living(&slot.day);
            let groups: Vec<Group<'_>> = self.groups(question, slot, &living);
            self.check_groups(question, &living, &groups.iter().collect::<Vec<_>>())?;
        }
        Ok(slots)
    }

    pub fn check_groups(&self, question: &Question, living: &Living, groups: &[&Group<'_>]) -> Result<(), Refused> {
        if self.kind(&question.indicator) == ValueKind::Flag {
            return Ok(());
        }
        let is_of_one = |group: &&Group<'_>| group.certain.len() + group.undetermined.len() <= 1;
        unless(self.measure(question) == Measure::Value && !groups.iter().all(is_of_one))?;
        let adds = said_scope(question.scope) == Scope::Subtree && self.measure(question) != Measure::Value;
        unless(adds && Self::overlaps(living, groups))
    }

    pub fn kind(&self, indicator: &str) -> ValueKind {
        self.indicator(indicator).value_kind()
    }

    /// What is computed, also if nothing is said.
    pub fn measure(&self, question: &Question) -> Measure {
        match (question.measure, self.indicator(&question.indicator).roll_up()) {
            (Measure::Unspecified, RollUp::RatioOfSums) => Measure::Ratio,
            (Measure::Unspecified, RollUp::None) => Measure::Value,
            (Measure::Unspecified, _) => Measure::Sum,
            (measure, _) => measure,
        }
    }

    /// What a distribution is of: two flags, a category, or a dimension of a number.
    pub fn check_distribution(&self, question: &Question) -> Result<(Vec<Slot>, Option<String>), Refused> {
        if !question.flags.is_empty() {
            let flags: Vec<&String> = question.flags.iter().collect();
            let slots = self.check(question, &flags)?;
            unless(question.flags.iter().any(|flag| self.kind(flag) != ValueKind::Flag))?;
            return Ok((slots, None));
        }
        let slots = self.check(question, &[&question.indicator])?;
        let indicator = self.indicator(&question.indicator);
        if indicator.value_kind() == ValueKind::Category {
            unless(!question.dimension.is_empty())?;
            return Ok((slots, None));
        }
        unless(!matches!(indicator.roll_up(), RollUp::Sum | RollUp::Last | RollUp::Distribution))?;
        let mut dimensions = indicator.dimensions.iter().map(|dimension| dimension.id.clone());
        let dimension = match question.dimension.as_str() {
            "" if indicator.dimensions.len() == 1 => dimensions.next(),
            asked => dimensions.find(|dimension| dimension == asked),
        };
        dimension.map(|dimension| (slots, Some(dimension))).ok_or(Refused::Forbidden)
    }
}

impl Question {
    pub fn per(&self) -> Number {
        if self.per.is_empty() { Number::whole(1) } else { Number::read(&self.per) }
    }
}
