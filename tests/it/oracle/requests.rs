//! A question as each kind of request.

use proto::v1::{
    AggregateRequest, CompareRequest, GetDistributionRequest, GetSeriesRequest, GetShareRequest, RankRequest,
    compare_request::{self, Panel},
};

use crate::naive::{Comparing, Question, Ranking, Time};

/// What every request says in the same fields.
macro_rules! filled {
    ($request:ident, $question:expr, { $($own:tt)* }) => {
        $request {
            indicator: $question.indicator.clone(),
            units: Some($question.units.clone()),
            group_by: $question.group_by.clone(),
            boundaries_on: $question.boundaries_on.clone(),
            last_known: $question.last_known,
            published_until: $question.published_until.clone(),
            filters: $question.filters.clone(),
            reports: (!$question.is_of_all_reports()).then(|| $question.reports.clone()),
            coverage_min: $question.coverage_min.clone(),
            $($own)*
            ..Default::default()
        }
    };
}

/// The same with the fields of a figure.
macro_rules! filled_figure {
    ($request:ident, $question:expr, { $($own:tt)* }) => {
        filled!($request, $question, {
            measure: $question.measure.into(),
            by: $question.by.clone(),
            scope: $question.scope.into(),
            denominator: $question.denominator.clone(),
            per: $question.per.clone(),
            $($own)*
        })
    };
}

/// on, period; from, to, step.
fn times(question: &Question) -> (String, String, (String, String, i32)) {
    let none = || (String::new(), String::new(), 0);
    match question.time.clone() {
        Time::On(day) => (day, String::new(), none()),
        Time::Period(period) => (String::new(), period, none()),
        Time::Span { from, to, step } => (String::new(), String::new(), (from, to, step.into())),
    }
}

pub fn share(question: &Question) -> GetShareRequest {
    let (on, period, (from, to, step)) = times(question);
    filled!(GetShareRequest, question, { on, period, from, to, step, })
}

pub fn aggregate(question: &Question) -> AggregateRequest {
    let (on, period, (from, to, step)) = times(question);
    filled_figure!(AggregateRequest, question, { on, period, from, to, step, })
}

pub fn series(question: &Question) -> GetSeriesRequest {
    let (.., (from, to, step)) = times(question);
    filled_figure!(GetSeriesRequest, question, { from, to, step, })
}

pub fn rank(question: &Question, ranking: Ranking) -> RankRequest {
    let (on, period, _) = times(question);
    let Ranking { order, criterion, top, bottom } = ranking;
    filled_figure!(RankRequest, question, { on, period, order: order.into(), criterion: criterion.into(), top, bottom, })
}

pub fn distribution(question: &Question) -> GetDistributionRequest {
    let (on, period, (from, to, step)) = times(question);
    filled!(GetDistributionRequest, question, {
        on, period, from, to, step,
        dimension: question.dimension.clone(),
        flags: question.flags.clone(),
    })
}

/// What both sides say is said once, except for what a side may say itself.
pub fn compare(a: &Question, b: &Question, comparing: Comparing) -> CompareRequest {
    let side = |question: &Question| {
        let (on, period, _) = times(question);
        compare_request::Side {
            units: Some(question.units.clone()),
            on,
            period,
            published_until: question.published_until.clone(),
            filters: question.filters.clone(),
            reports: (!question.is_of_all_reports()).then(|| question.reports.clone()),
            ..Default::default()
        }
    };
    let panel = if comparing.is_constant { Panel::Constant } else { Panel::Unspecified };
    let common =
        Question { published_until: String::new(), filters: Vec::new(), reports: Default::default(), ..a.clone() };
    filled_figure!(CompareRequest, common, { a: Some(side(a)), b: Some(side(b)), panel: panel.into(), })
}
