//! Questions as they are asked.

use std::collections::{BTreeMap, BTreeSet};

use bigdecimal::{BigDecimal, Signed};
use proto::v1;

use super::{
    filters::{read_filters, read_reports},
    read_at_least, read_known_at, read_selector,
    times::read_time,
};
use crate::{
    convert::{Door, digest, enums, unit},
    limits::{ANSWER_ROWS_MAX, ID_CHARS_MAX, PAGE_ROWS_MAX},
    model::{
        fault::{Fault, Reason, quote},
        ids::IndicatorId,
        log::Revision,
        query::{
            Admitted, AvailabilityQuery, CompareQuery, CompletenessQuery, DistributionOf, DistributionQuery,
            FigureQuery, GroupBy, Plan, RankOf, RankQuery, ReportFilter, SeriesQuery, ShareQuery, Side,
        },
        report::Scope,
    },
    page::PageRequest,
};

/// The page of an answer that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerPage {
    /// The page.
    pub page: PageRequest,
    /// No page was asked for: all rows, or a refusal if they are too many.
    pub is_whole: bool,
}

/// What every request of an aggregation says in the same fields.
pub(super) struct Selectors<'a> {
    units: Option<&'a v1::UnitSelector>,
    group_by: &'a str,
    pub(super) on: &'a str,
    pub(super) period: &'a str,
    pub(super) span: Option<(&'a str, &'a str, i32)>,
    last_known: bool,
    boundaries_on: &'a str,
    known_at: Option<&'a v1::KnownAt>,
    published_until: &'a str,
    filters: &'a [v1::UnitFilter],
    reports: Option<&'a v1::ReportFilter>,
    coverage_min: &'a str,
}

macro_rules! selectors {
    ($request:expr, $on:expr, $period:expr, $span:expr) => {
        Selectors {
            units: $request.units.as_ref(),
            group_by: &$request.group_by,
            on: $on,
            period: $period,
            span: $span,
            last_known: $request.last_known,
            boundaries_on: &$request.boundaries_on,
            known_at: $request.known_at.as_ref(),
            published_until: &$request.published_until,
            filters: &$request.filters,
            reports: $request.reports.as_ref(),
            coverage_min: &$request.coverage_min,
        }
    };
    ($request:expr) => {
        selectors!($request, &$request.on, &$request.period, Some((&$request.from, &$request.to, $request.step)))
    };
}

/// The same request without what says which page of the answer is sent, and when.
macro_rules! rest {
    ($message:ident, $request:expr) => {
        v1::$message { page_size: 0, page_token: String::new(), at_least_revision: None, ..$request.clone() }
    };
}

macro_rules! page {
    ($door:expr, $message:ident, $request:expr) => {{
        let query = digest(stringify!($message), [rest!($message, $request)]);
        read_page(&mut $door, $request.page_size, &$request.page_token, query)
    }};
}

/// What a request of figures says in the same fields.
struct FigureFields<'a> {
    indicator: &'a str,
    measure: i32,
    by: &'a BTreeMap<String, String>,
    scope: i32,
    denominator: &'a str,
    per: &'a str,
}

macro_rules! figure_fields {
    ($request:expr) => {
        FigureFields {
            indicator: &$request.indicator,
            measure: $request.measure,
            by: &$request.by,
            scope: $request.scope,
            denominator: &$request.denominator,
            per: &$request.per,
        }
    };
}

/// GetShare: the question, the page, and the revision that the answer must know.
///
/// # Errors
/// Every fault of form.
pub fn share(request: &v1::GetShareRequest) -> Result<(ShareQuery, AnswerPage, Option<Revision>), Fault> {
    let mut door = Door::default();
    let indicator = door.indicator_id("indicator", &request.indicator);
    let plan = read_plan(&mut door, &selectors!(request));
    let page = page!(door, GetShareRequest, request);
    let at_least = read_at_least(&mut door, request.at_least_revision);
    let query = || Some(ShareQuery { indicator: indicator?, plan: plan? });
    let query = query();
    door.finish(query.map(|query| (query, page, at_least)))
}

/// Aggregate: the question, the page, and the revision that the answer must know.
///
/// # Errors
/// Every fault of form.
pub fn aggregate(request: &v1::AggregateRequest) -> Result<(FigureQuery, AnswerPage, Option<Revision>), Fault> {
    let mut door = Door::default();
    let plan = read_plan(&mut door, &selectors!(request));
    let query = read_figure(&mut door, &figure_fields!(request), plan);
    let page = page!(door, AggregateRequest, request);
    let at_least = read_at_least(&mut door, request.at_least_revision);
    door.finish(query.map(|query| (query, page, at_least)))
}

/// GetSeries: the question, the page, and the revision that the answer must know.
///
/// # Errors
/// Every fault of form.
pub fn series(request: &v1::GetSeriesRequest) -> Result<(SeriesQuery, AnswerPage, Option<Revision>), Fault> {
    let mut door = Door::default();
    let span = Some((request.from.as_str(), request.to.as_str(), request.step));
    if request.from.is_empty() && request.to.is_empty() && request.step == 0 {
        door.missing("from", "a series has from, to and step, such as 2016-Q1, 2017-Q4, QUARTER");
    }
    let plan = read_plan(&mut door, &selectors!(request, "", "", span));
    let query = read_figure(&mut door, &figure_fields!(request), plan).map(|figure| SeriesQuery { figure });
    let page = page!(door, GetSeriesRequest, request);
    let at_least = read_at_least(&mut door, request.at_least_revision);
    door.finish(query.map(|query| (query, page, at_least)))
}

/// Rank: the question, the page, and the revision that the answer must know.
///
/// # Errors
/// Every fault of form.
pub fn rank(request: &v1::RankRequest) -> Result<(RankQuery, AnswerPage, Option<Revision>), Fault> {
    let mut door = Door::default();
    let of = if request.form.is_empty() {
        if !request.as_of.is_empty() {
            door.add("as_of", Reason::ConflictingFields, "goes with form: duties are judged by a day");
        }
        let plan = read_plan(&mut door, &selectors!(request, &request.on, &request.period, None));
        read_figure(&mut door, &figure_fields!(request), plan).map(|figure| RankOf::Figure(Box::new(figure)))
    } else {
        let others = [
            ("indicator", !request.indicator.is_empty()),
            ("on", !request.on.is_empty()),
            ("last_known", request.last_known),
            ("published_until", !request.published_until.is_empty()),
            ("filters", !request.filters.is_empty()),
            ("reports", request.reports.is_some()),
            ("coverage_min", !request.coverage_min.is_empty()),
            ("measure", request.measure != 0),
            ("by", !request.by.is_empty()),
            ("scope", request.scope != 0),
            ("denominator", !request.denominator.is_empty()),
            ("per", !request.per.is_empty()),
            ("criterion", request.criterion != 0),
        ];
        for (path, _) in others.into_iter().filter(|(_, is_there)| *is_there) {
            door.add(path, Reason::ConflictingFields, "does not go with form, which is ranked by its on-time rate");
        }
        let duties = v1::GetCompletenessRequest {
            form: request.form.clone(),
            units: request.units.clone(),
            group_by: request.group_by.clone(),
            period: request.period.clone(),
            boundaries_on: request.boundaries_on.clone(),
            known_at: request.known_at,
            as_of: request.as_of.clone(),
            ..Default::default()
        };
        read_completeness(&mut door, &duties).map(RankOf::Completeness)
    };
    let order = door.optional_enum("order", request.order).unwrap_or_default();
    let criterion = door.optional_enum("criterion", request.criterion).unwrap_or_default();
    let mut count = |path: &str, number: i32| {
        let count = usize::try_from(number).ok();
        if count.is_none() {
            door.add(path, Reason::InvalidNumber, "is negative; leave it out for all rows");
        }
        count.filter(|count| *count > 0)
    };
    let (top, bottom) = (count("top", request.top), count("bottom", request.bottom));
    let page = page!(door, RankRequest, request);
    let at_least = read_at_least(&mut door, request.at_least_revision);
    let query = of.map(|of| RankQuery { of, order, criterion, top, bottom });
    door.finish(query.map(|query| (query, page, at_least)))
}

/// GetDistribution: the question, the page, and the revision that the answer must know.
///
/// # Errors
/// Every fault of form.
pub fn by_class(
    request: &v1::GetDistributionRequest,
) -> Result<(DistributionQuery, AnswerPage, Option<Revision>), Fault> {
    let mut door = Door::default();
    let plan = read_plan(&mut door, &selectors!(request));
    let dimension = door.optional("dimension", &request.dimension, Reason::InvalidId);
    let of = match (request.indicator.as_str(), request.flags.as_slice()) {
        ("", []) => {
            door.missing("indicator", "says what is counted by class; or give two flags");
            None
        }
        (indicator, []) => {
            let indicator = door.indicator_id("indicator", indicator);
            indicator.map(|indicator| DistributionOf::Classes { indicator, dimension })
        }
        ("", [first, second]) if first != second => {
            if dimension.is_some() {
                door.add("dimension", Reason::ConflictingFields, "goes with indicator; flags have no dimensions");
            }
            let (first, second) = (door.indicator_id("flags[0]", first), door.indicator_id("flags[1]", second));
            first.zip(second).map(|(first, second)| DistributionOf::Flags(first, second))
        }
        ("", _) => {
            door.add("flags", Reason::InvalidNumber, "are exactly two different flags");
            None
        }
        (_, _) => {
            door.add("flags", Reason::ConflictingFields, "give indicator or flags, not both");
            None
        }
    };
    let page = page!(door, GetDistributionRequest, request);
    let at_least = read_at_least(&mut door, request.at_least_revision);
    let query = of.zip(plan).map(|(of, plan)| DistributionQuery { of, plan });
    door.finish(query.map(|query| (query, page, at_least)))
}

/// Compare: the question, the page, and the revision that the answer must know.
///
/// # Errors
/// Every fault of form; the path of one that a side has begins with `a` or `b`.
pub fn compare(request: &v1::CompareRequest) -> Result<(CompareQuery, AnswerPage, Option<Revision>), Fault> {
    let mut door = Door::default();
    let mut said: BTreeSet<(String, Reason)> = BTreeSet::new();
    let mut side = |name: &'static str, side: Option<&v1::compare_request::Side>| {
        let Some(side) = side else {
            door.missing(name, "is required; {} stands for a side that is as the request says");
            return None;
        };
        let time_is_own = !(side.on.is_empty() && side.period.is_empty());
        let text = |own: &str, common: &str| if own.is_empty() { common.to_owned() } else { own.to_owned() };
        let merged = v1::CompareRequest {
            units: side.units.clone().or_else(|| request.units.clone()),
            on: if time_is_own { side.on.clone() } else { request.on.clone() },
            period: if time_is_own { side.period.clone() } else { request.period.clone() },
            known_at: side.known_at.or(request.known_at),
            published_until: text(&side.published_until, &request.published_until),
            filters: if side.filters.is_empty() { request.filters.clone() } else { side.filters.clone() },
            reports: side.reports.clone().or_else(|| request.reports.clone()),
            ..request.clone()
        };
        let mut inner = Door::default();
        let plan = read_plan(&mut inner, &selectors!(merged, &merged.on, &merged.period, None));
        let figure = read_figure(&mut inner, &figure_fields!(merged), plan);
        let has_no_time = request.on.is_empty() && request.period.is_empty();
        let says = [
            ("units", side.units.is_some()),
            ("on", time_is_own || has_no_time),
            ("period", time_is_own || has_no_time),
            ("known_at", side.known_at.is_some()),
            ("published_until", !side.published_until.is_empty()),
            ("filters", !side.filters.is_empty()),
            ("reports", side.reports.is_some()),
        ];
        let own_fields: Vec<&'static str> =
            says.into_iter().filter(|(_, says)| *says).map(|(field, _)| field).collect();
        let own = |path: &str| own_fields.contains(&path.split(['.', '[']).next().unwrap_or_default());
        for violation in inner.violations.into_result().err().into_iter().flat_map(|fault| fault.violations) {
            let path = if own(&violation.path) { format!("{name}.{}", violation.path) } else { violation.path };
            // What both sides share is said once; beside its own time one side may allow it and the other not.
            if said.insert((path.clone(), violation.reason)) {
                door.add(&path, violation.reason, violation.message);
            }
        }
        figure.map(|figure| Side { figure, field: name, own_fields })
    };
    let (a, b) = (side("a", request.a.as_ref()), side("b", request.b.as_ref()));
    let panel = match v1::compare_request::Panel::try_from(request.panel) {
        Ok(panel) => panel,
        Err(_) => {
            door.add("panel", Reason::InvalidEnumValue, format!("{} is no value of this enum", request.panel));
            v1::compare_request::Panel::All
        }
    };
    let page = page!(door, CompareRequest, request);
    let at_least = read_at_least(&mut door, request.at_least_revision);
    let constant_panel = panel == v1::compare_request::Panel::Constant;
    let query = a.zip(b).map(|(a, b)| CompareQuery { a, b, constant_panel });
    door.finish(query.map(|query| (query, page, at_least)))
}

/// GetCompleteness: the question, the page, and the revision that the answer must know.
///
/// # Errors
/// Every fault of form.
pub fn completeness(
    request: &v1::GetCompletenessRequest,
) -> Result<(CompletenessQuery, AnswerPage, Option<Revision>), Fault> {
    let mut door = Door::default();
    let query = read_completeness(&mut door, request);
    let page = page!(door, GetCompletenessRequest, request);
    let at_least = read_at_least(&mut door, request.at_least_revision);
    door.finish(query.map(|query| (query, page, at_least)))
}

/// GetAvailability: the question, the page, and the revision that the answer must know.
///
/// # Errors
/// Every fault of form.
pub fn available(
    request: &v1::GetAvailabilityRequest,
) -> Result<(AvailabilityQuery, PageRequest, Option<Revision>), Fault> {
    let mut door = Door::default();
    let indicator = door.optional("indicator", &request.indicator, Reason::InvalidId);
    let selects = request.units.is_some();
    let units = if selects { read_selector(&mut door, request.units.as_ref()) } else { None };
    let known_at = read_known_at(&mut door, request.known_at.as_ref());
    let rows = door.page_size(request.page_size);
    let query = digest("GetAvailability", [rest!(GetAvailabilityRequest, request)]);
    let page = PageRequest { rows, token: request.page_token.clone(), query };
    let at_least = read_at_least(&mut door, request.at_least_revision);
    let query = known_at.map(|known_at| AvailabilityQuery { indicator, units, known_at });
    door.finish(query.map(|query| (query, page, at_least)))
}

fn read_page(door: &mut Door, page_size: i32, token: &str, query: [u8; 16]) -> AnswerPage {
    let rows = match usize::try_from(page_size) {
        Ok(size) => size.min(PAGE_ROWS_MAX),
        Err(_) => {
            door.add("page_size", Reason::InvalidNumber, "is negative; leave it out or ask for 1 to 1,000 rows");
            0
        }
    };
    let is_whole = rows == 0;
    let rows = if is_whole { ANSWER_ROWS_MAX } else { rows };
    AnswerPage { page: PageRequest { rows, token: token.to_owned(), query }, is_whole }
}

fn read_plan(door: &mut Door, selectors: &Selectors<'_>) -> Option<Plan> {
    let units = read_selector(door, selectors.units);
    let group_by = read_group(door, selectors.group_by);
    let time = read_time(door, selectors);
    let boundaries_on = door.day("boundaries_on", selectors.boundaries_on);
    let published_until = door.day("published_until", selectors.published_until);
    let known_at = read_known_at(door, selectors.known_at);
    let filters = read_filters(door, selectors.filters);
    let reports = selectors.reports.map_or_else(ReportFilter::default, |reports| read_reports(door, reports));
    let coverage_min = match selectors.coverage_min {
        "" => None,
        text => read_number(door, "coverage_min", text),
    };
    let (zero, one) = (BigDecimal::from(0), BigDecimal::from(1));
    if coverage_min.as_ref().is_some_and(|least| *least < zero || *least > one) {
        door.add("coverage_min", Reason::InvalidDecimal, "is a part of 1, such as 0.6 for 60 %");
    }
    let admitted = Admitted { reports, published_until, last_known: selectors.last_known };
    Some(Plan {
        units: units?,
        filters,
        group_by,
        time: time?,
        boundaries_on,
        admitted,
        known_at: known_at?,
        coverage_min,
    })
}

fn read_figure(door: &mut Door, fields: &FigureFields<'_>, plan: Option<Plan>) -> Option<FigureQuery> {
    let indicator = door.indicator_id("indicator", fields.indicator);
    let measure = door.optional_enum("measure", fields.measure);
    let mut by: BTreeMap<IndicatorId, IndicatorId> = BTreeMap::new();
    for (dimension, code) in fields.by {
        let path = format!("by[{}]", quote(dimension));
        let dimension = door.indicator_id(&path, dimension);
        let code = door.indicator_id(&path, code);
        by.extend(dimension.zip(code));
    }
    let scope = door.optional_enum("scope", fields.scope).unwrap_or_default();
    if scope == Scope::Group {
        let message = "figures of groups are of several units together; ask for OWN, CHILDREN or SUBTREE";
        door.add("scope", Reason::InvalidEnumValue, message);
    }
    let denominator = door.optional("denominator", fields.denominator, Reason::InvalidId);
    let per = match fields.per {
        "" => Some(BigDecimal::from(1)),
        text => read_number(door, "per", text),
    };
    if per.as_ref().is_some_and(|per| !per.is_positive()) {
        door.add("per", Reason::InvalidDecimal, "is greater than 0, such as 1000");
    }
    Some(FigureQuery { indicator: indicator?, measure, by, scope, denominator, per: per?, plan: plan? })
}

fn read_completeness(door: &mut Door, request: &v1::GetCompletenessRequest) -> Option<CompletenessQuery> {
    let form = door.required("form", &request.form, Reason::InvalidId);
    let selects = request.units.is_some();
    let units = if selects { read_selector(door, request.units.as_ref()) } else { None };
    let group_by = read_group(door, &request.group_by);
    let days = super::read_closed_period(door, &request.period);
    let boundaries_on = door.day("boundaries_on", &request.boundaries_on);
    let as_of = door.day("as_of", &request.as_of);
    let known_at = read_known_at(door, request.known_at.as_ref());
    let (first_day, last_day) = days?;
    let known_at = known_at?;
    Some(CompletenessQuery { form: form?, units, group_by, first_day, last_day, boundaries_on, as_of, known_at })
}

pub(super) fn read_number(door: &mut Door, path: &str, text: &str) -> Option<BigDecimal> {
    let number = door.decimal(path, text)?;
    Some(BigDecimal::new(number.mantissa().into(), i64::from(number.scale())))
}

fn read_group(door: &mut Door, group_by: &str) -> Option<GroupBy> {
    match group_by {
        "" => return None,
        "UNIT" => return Some(GroupBy::Unit),
        "KIND" => return Some(GroupBy::Kind),
        _ => {}
    }
    // Names of levels have capital letters, keys of attributes have none.
    let is_key = group_by.len() <= ID_CHARS_MAX && group_by.bytes().all(unit::is_attribute_char);
    let group = enums::level_named(group_by).map(GroupBy::Level);
    let group = group.or_else(|| is_key.then(|| GroupBy::Attribute(group_by.to_owned())));
    if group.is_none() {
        let message = format!(
            "{} is no level and no key of an attribute; group by one of {}, by UNIT or KIND, by an attribute such as terrain, or leave it out",
            quote(group_by),
            enums::level_names()
        );
        door.add("group_by", Reason::UnknownGroup, message);
    }
    group
}
