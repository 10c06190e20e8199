//! Forms: who owes which indicators, how often and by when.

use std::collections::BTreeMap;

use jiff::{
    Timestamp, ToSpan,
    civil::{Date, Weekday},
    tz::TimeZone,
};

use super::{
    ids::{FormId, IndicatorId, UnitId},
    period::{Period, Span},
    unit::{Level, Organ},
};

/// The time zone in which days are counted where a form names none.
pub const TIME_ZONE_DEFAULT: &str = "Asia/Ho_Chi_Minh";

/// How often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frequency {
    /// For each month.
    Monthly,
    /// For each quarter.
    Quarterly,
    /// For each half-year.
    HalfYearly,
    /// For each year.
    Yearly,
    /// For each term of the form's organ.
    PerTerm,
}

impl Frequency {
    /// Months of a period; none for terms.
    fn months(self) -> Option<i8> {
        match self {
            Self::Monthly => Some(1),
            Self::Quarterly => Some(3),
            Self::HalfYearly => Some(6),
            Self::Yearly => Some(12),
            Self::PerTerm => None,
        }
    }

    /// The periods of the calendar that end on a day of a closed span, in order, at most `count_max`; none of terms.
    pub fn periods_ending_in(self, first_day: Date, last_day: Date, count_max: usize) -> Vec<Period> {
        let Some(months) = self.months() else { return Vec::new() };
        let first_month = (first_day.month() - 1) / months * months + 1;
        let mut start = Date::new(first_day.year(), first_month, 1).ok();
        let mut periods = Vec::new();
        while let Some(first) = start
            && periods.len() < count_max
        {
            start = first.checked_add(i32::from(months).months()).ok();
            let next = start.and_then(|next| next.yesterday().ok());
            let Some(last) = next.filter(|last| *last <= last_day) else { break };
            periods.push(Period::of_days(&self.write(first), Span { first_day: Some(first), last_day: Some(last) }));
        }
        periods
    }

    fn write(self, first: Date) -> String {
        let (year, month) = (first.year(), first.month());
        match self {
            Self::Monthly => format!("{year:04}-{month:02}"),
            Self::Quarterly => format!("{year:04}-Q{}", (month - 1) / 3 + 1),
            Self::HalfYearly => format!("{year:04}-S{}", (month - 1) / 6 + 1),
            Self::Yearly | Self::PerTerm => format!("{year:04}"),
        }
    }
}

/// What becomes of a day that falls on a Saturday or Sunday.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weekend {
    /// The Monday after it.
    NextWorkingDay,
    /// The Friday before it.
    PreviousWorkingDay,
}

/// From where the day is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DueDay {
    /// That day of the last month of the period, or the last one where the month has fewer.
    OfLastMonth(i8),
    /// So many days after the last day of the period.
    AfterEnd(i32),
}

/// By when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// From where the day is counted.
    pub day: DueDay,
    /// What becomes of a day that falls on a weekend; none: it stays.
    pub weekend: Option<Weekend>,
    /// So many days later a report is still on time.
    pub grace_days: i32,
}

impl Due {
    /// By when a report for a period with that last day is due, and until when it is on time; none beyond the calendar.
    pub fn of(&self, period_end: Date) -> Option<(Date, Date)> {
        let day = match self.day {
            DueDay::OfLastMonth(day) => {
                let last = period_end.last_of_month();
                last.with().day(day.clamp(1, last.day())).build().ok()?
            }
            DueDay::AfterEnd(days) => period_end.checked_add(days.days()).ok()?,
        };
        let shift = match (self.weekend, day.weekday()) {
            (Some(Weekend::NextWorkingDay), Weekday::Saturday) => 2,
            (Some(Weekend::NextWorkingDay), Weekday::Sunday) => 1,
            (Some(Weekend::PreviousWorkingDay), Weekday::Saturday) => -1,
            (Some(Weekend::PreviousWorkingDay), Weekday::Sunday) => -2,
            _ => 0,
        };
        let due_on = day.checked_add(shift.days()).ok()?;
        Some((due_on, due_on.checked_add(self.grace_days.days()).ok()?))
    }
}

/// Who owes which indicators, how often and by when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    /// Its id.
    pub id: FormId,
    /// 1 for the first.
    pub version: u32,
    /// Names by language; at least one.
    pub names: BTreeMap<String, String>,
    /// Indicators that a report on it has to speak about.
    pub indicators: Vec<IndicatorId>,
    /// The unit under which it is owed.
    pub under: UnitId,
    /// The level of the units that owe it; none: `under` itself owes it.
    pub level: Option<Level>,
    /// The organ that owes it.
    pub organ: Organ,
    /// How often; none: not known.
    pub frequency: Option<Frequency>,
    /// By when; none: not known.
    pub due: Option<Due>,
    /// IANA time zone in which days are counted; empty: the usual one.
    pub time_zone: String,
    /// The first day on which this version holds; none: ever.
    pub valid_from: Option<Date>,
    /// The last day on which it is owed; none: it goes on.
    pub valid_until: Option<Date>,
}

impl Form {
    /// The day of a moment, as this form counts days.
    pub fn day_of(&self, moment: Timestamp) -> Date {
        let name = if self.time_zone.is_empty() { TIME_ZONE_DEFAULT } else { &self.time_zone };
        // The name was checked when the form was defined, against the same table.
        let zone = TimeZone::get(name).unwrap_or(TimeZone::UTC);
        moment.to_zoned(zone).date()
    }
}

/// Whether there is a time zone of that name.
pub fn is_time_zone(name: &str) -> bool {
    TimeZone::get(name).is_ok()
}

/// A unit need not fulfil a form for a period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiver {
    /// The form.
    pub form: FormId,
    /// The unit.
    pub unit: UnitId,
    /// The period.
    pub period: Period,
    /// Why.
    pub reason: String,
}

/// What became of a duty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DutyState {
    /// It is expected, and nobody knows by when.
    Expected,
    /// It is expected, and its day has not passed.
    NotYetDue,
    /// A report came in time.
    OnTime,
    /// A report came later.
    Late,
    /// Its day has passed and no report came.
    Missing,
    /// The unit was freed from it.
    Waived,
}

impl DutyState {
    /// The state of a duty on a day.
    ///
    /// | waived | received | its last day | state |
    /// |---|---|---|---|
    /// | yes | | | WAIVED |
    /// | no | up to its last day, or that is not known | | ON_TIME |
    /// | no | later | | LATE |
    /// | no | no | not known | EXPECTED |
    /// | no | no | today or later | NOT_YET_DUE |
    /// | no | no | before today | MISSING |
    pub fn on(today: Date, is_waived: bool, received_on: Option<Date>, in_time_until: Option<Date>) -> Self {
        match (is_waived, received_on, in_time_until) {
            (true, ..) => Self::Waived,
            (false, Some(received), Some(last)) if received > last => Self::Late,
            (false, Some(_), _) => Self::OnTime,
            (false, None, None) => Self::Expected,
            (false, None, Some(last)) if today <= last => Self::NotYetDue,
            (false, None, Some(_)) => Self::Missing,
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn periods_of_the_calendar_end_in_the_span() {
        let written = |frequency: Frequency, first, last| -> Vec<String> {
            let periods = frequency.periods_ending_in(first, last, 100);
            periods.iter().map(|period| period.written().to_owned()).collect()
        };
        let year = (date(2017, 1, 1), date(2017, 12, 31));
        assert_eq!(written(Frequency::Quarterly, year.0, year.1), ["2017-Q1", "2017-Q2", "2017-Q3", "2017-Q4"]);
        assert_eq!(written(Frequency::HalfYearly, year.0, date(2017, 12, 30)), ["2017-S1"]);
        assert_eq!(written(Frequency::Yearly, date(2016, 12, 31), year.1), ["2016", "2017"]);
        assert_eq!(written(Frequency::Monthly, date(2016, 2, 29), date(2016, 3, 31)), ["2016-02", "2016-03"]);
        assert!(written(Frequency::PerTerm, year.0, year.1).is_empty());
        assert_eq!(Frequency::Monthly.periods_ending_in(Date::MIN, Date::MAX, 7).len(), 7);
        for period in Frequency::Quarterly.periods_ending_in(year.0, year.1, 100) {
            assert_eq!(period.written().parse::<Period>().unwrap(), period, "as a report writes it");
        }
    }

    #[test]
    fn the_25th_of_the_last_month_lies_before_the_end_of_the_quarter() {
        let due = Due { day: DueDay::OfLastMonth(25), weekend: None, grace_days: 0 };
        assert_eq!(due.of(date(2017, 6, 30)), Some((date(2017, 6, 25), date(2017, 6, 25))), "a Sunday stays");
        let moved = Due { weekend: Some(Weekend::NextWorkingDay), ..due };
        assert_eq!(moved.of(date(2017, 6, 30)), Some((date(2017, 6, 26), date(2017, 6, 26))));
        let back = Due { weekend: Some(Weekend::PreviousWorkingDay), grace_days: 3, ..due };
        assert_eq!(back.of(date(2017, 6, 30)), Some((date(2017, 6, 23), date(2017, 6, 26))));
        let short = Due { day: DueDay::OfLastMonth(31), ..due };
        assert_eq!(short.of(date(2016, 2, 29)), Some((date(2016, 2, 29), date(2016, 2, 29))));
        let after = Due { day: DueDay::AfterEnd(5), ..due };
        assert_eq!(after.of(date(2017, 12, 31)), Some((date(2018, 1, 5), date(2018, 1, 5))));
        assert_eq!(after.of(Date::MAX), None);
    }

    #[test]
    fn a_duty_is_judged_by_its_days() {
        use DutyState::{Expected, Late, Missing, NotYetDue, OnTime, Waived};
        let (due, next) = (date(2017, 6, 25), date(2017, 6, 26));
        assert_eq!(DutyState::on(due, false, None, Some(due)), NotYetDue, "the day itself is in time");
        assert_eq!(DutyState::on(next, false, None, Some(due)), Missing);
        assert_eq!(DutyState::on(next, false, Some(due), Some(due)), OnTime);
        assert_eq!(DutyState::on(next, false, Some(next), Some(due)), Late);
        assert_eq!(DutyState::on(next, false, None, None), Expected);
        assert_eq!(DutyState::on(next, false, Some(next), None), OnTime);
        assert_eq!(DutyState::on(next, true, Some(next), Some(due)), Waived);
    }

    #[test]
    fn a_day_begins_in_ha_noi_seven_hours_before_utc() {
        let form = Form {
            id: "f".parse().unwrap(),
            version: 1,
            names: BTreeMap::new(),
            indicators: Vec::new(),
            under: "vn".parse().unwrap(),
            level: None,
            organ: Organ::Party,
            frequency: None,
            due: None,
            time_zone: String::new(),
            valid_from: None,
            valid_until: None,
        };
        let day = |moment: &str| form.day_of(moment.parse().unwrap());
        assert_eq!(day("2017-06-25T16:59:59Z"), date(2017, 6, 25));
        assert_eq!(day("2017-06-25T17:00:00Z"), date(2017, 6, 26));
        assert!(is_time_zone("Asia/Ho_Chi_Minh") && !is_time_zone("Asia/Nowhere"));
    }
}
