//! Enums on both sides of the door. The zero value of proto stands for "not said" and has no domain value.

use proto::v1::{
    contribution, duty, figure, finding, form, indicator, list_hierarchy_request, list_succession_request,
    list_succession_response, observation, rank_request, series, term, unit, unit_event,
};

use crate::{
    model::{
        command::{HierarchyDirection, SuccessionDirection},
        event::{Cleared, EventStatus, EventType},
        finding::{FindingReason, Hypothesis, Severity},
        form::{DutyState, Frequency, Weekend},
        indicator::{RollUp, Temporality, ValueKind},
        query::{Caveat, EmptyReason, Measure, Order, RankCriterion, Step, Verdict},
        report::{Basis, ChangeUnit, Direction, Missing, Qualifier, Scale, Scope},
        term::DatesBasis,
        unit::{Level, Organ},
    },
    registry::Extent,
};

/// A domain enum and its proto twin.
pub(super) trait Wire: Sized + Copy {
    /// The proto enum.
    type Proto: TryFrom<i32> + Into<i32>;

    /// The domain value; none for the zero value.
    fn from_proto(value: Self::Proto) -> Option<Self>;

    /// The proto value.
    fn to_proto(self) -> Self::Proto;

    /// The proto value as messages hold it.
    fn number(self) -> i32 {
        self.to_proto().into()
    }
}

macro_rules! wire {
    ($domain:ident, $proto:ty, [ $($name:ident),* $(,)? ]) => {
        impl Wire for $domain {
            type Proto = $proto;

            fn from_proto(value: $proto) -> Option<Self> {
                match value {
                    <$proto>::Unspecified => None,
                    $(<$proto>::$name => Some(Self::$name),)*
                }
            }

            fn to_proto(self) -> $proto {
                match self {
                    $(Self::$name => <$proto>::$name,)*
                }
            }
        }
    };
}

wire!(Level, unit::Level, [Country, Province, District, Commune, GrassrootsOrganisation, Cell]);
wire!(
    Organ,
    unit::Organ,
    [Party, ExecutiveCommittee, StandingCommittee, PeoplesCouncil, PeoplesCommittee, Front, InspectionCommittee,]
);
wire!(DatesBasis, term::DatesBasis, [Known, Assumed]);
wire!(ValueKind, indicator::ValueKind, [Flag, Count, Decimal, Percent, Ratio, Money, Category, Direction, Change]);
wire!(Temporality, indicator::Temporality, [State, Stock, Flow]);
wire!(RollUp, indicator::RollUp, [Sum, Last, RatioOfSums, ShareOfUnits, Distribution, None]);
wire!(Scope, observation::Scope, [Own, Children, Subtree, Group]);
wire!(Qualifier, observation::Qualifier, [Exact, MoreThan, AtLeast, LessThan, AtMost, About]);
wire!(Basis, observation::Basis, [Actual, Estimate, Projection, Planned]);
wire!(Missing, observation::Missing, [NotReported, NotApplicable, Withheld]);
wire!(Scale, observation::money::Scale, [Unit, Thousand, Million, Billion, Trillion]);

wire!(Direction, observation::Direction, [Increase, Decrease, Unchanged, SharpIncrease, SharpDecrease]);
wire!(
    ChangeUnit,
    observation::change::Unit,
    [Percent, PercentagePoint, Absolute, Index, Times, TimesMore, PercentPerYear]
);
wire!(EventType, unit_event::Type, [Merge, Split, Dissolve, Transfer, Rename, ChangeLevel, Correct]);
wire!(EventStatus, unit_event::Status, [Planned, Decided, Effective, Cancelled]);
wire!(Cleared, unit_event::change::Field, [Kind, OfficialCode, ValidFrom, ValidUntil]);
wire!(Extent, list_succession_response::Extent, [Whole, Part, Functions]);
wire!(SuccessionDirection, list_succession_request::Direction, [Successors, Predecessors]);
wire!(HierarchyDirection, list_hierarchy_request::Direction, [Ancestors, Descendants]);
wire!(Frequency, form::Frequency, [Monthly, Quarterly, HalfYearly, Yearly, PerTerm]);
wire!(Weekend, form::Weekend, [NextWorkingDay, PreviousWorkingDay]);
wire!(DutyState, duty::State, [Expected, NotYetDue, OnTime, Late, Missing, Waived]);

wire!(Step, series::Step, [Day, Month, Quarter, HalfYear, Year]);
wire!(Measure, figure::Measure, [Sum, Count, Min, Max, Mean, Median, Ratio, Last, Value]);
wire!(
    EmptyReason,
    figure::EmptyReason,
    [
        NoUnits,
        AllNotApplicable,
        Withheld,
        Undated,
        OtherPeriods,
        OtherScopes,
        NothingReported,
        CurrenciesDiffer,
        NoSingleNumber,
        DenominatorZero
    ]
);
wire!(
    Caveat,
    figure::Caveat,
    [Incomplete, NotActual, BasisMixed, DefinitionsMixed, Tiled, CarriedForward, UnitsChanged, Contested]
);
wire!(Order, rank_request::Order, [Descending, Ascending]);
wire!(RankCriterion, rank_request::Criterion, [Result, Coverage]);
wire!(
    Verdict,
    contribution::Verdict,
    [
        Counts,
        CountsAsTile,
        CountsCarried,
        Outranked,
        Contested,
        Superseded,
        Withdrawn,
        PublishedLater,
        Undated,
        OtherPeriod,
        OtherScope,
        OtherClass,
        NotApplicable,
        OffTheMap,
        Filtered,
        Undetermined,
        Silent,
        Missing
    ]
);

wire!(Severity, finding::Severity, [Info, Warning]);
wire!(
    FindingReason,
    finding::Reason,
    [
        StatedPercentTruncated,
        StatedPercentContradicts,
        StatedPercentsSum,
        SourcesDisagree,
        PeriodEndsAfterPublication,
        MixedScripts,
        MoreFindings,
        PartsContradictTotal,
        IndexAsIncrease,
        BalanceContradicts,
        ChildrenContradict,
        UnitLivesPartly,
        NotApplicableThen,
        PointsAsPercent,
        AmbiguousChange,
        UnknownForm
    ]
);
wire!(Hypothesis, finding::Hypothesis, [DecimalPointMoved, RoundingOnly, Swapped]);

/// The number of a value; the zero value for what is meant where nothing is said.
pub(super) fn unless_default<T: Wire + Default + PartialEq>(value: T) -> i32 {
    if value == T::default() { 0 } else { value.number() }
}

/// The level with that name, as proto writes it.
pub(super) fn level_named(name: &str) -> Option<Level> {
    unit::Level::from_str_name(name).and_then(Level::from_proto)
}

/// Every name of a level, from the highest down.
pub(super) fn level_names() -> String {
    let all =
        [Level::Country, Level::Province, Level::District, Level::Commune, Level::GrassrootsOrganisation, Level::Cell];
    all.map(|level| level.to_proto().as_str_name()).join(", ")
}
