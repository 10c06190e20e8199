//! Every fact of the five articles, asked back from the services.

use std::collections::{BTreeMap, BTreeSet};

use proto::v1::{
    Form, GetIndicatorRequest, ListFormsRequest, ListObservationsRequest, ListUnitEventsRequest, Observation,
    UnitSelector,
    form::due::Day,
    list_observations_response::Row,
    observation::{
        Change, Qualifier, Scope, Value,
        change::{Baseline, Unit},
    },
};
use tests::{fixtures, harness::Pair};

/// A row of the table of facts: by the names of its columns.
type Fact = BTreeMap<String, String>;

fn facts() -> Vec<Fact> {
    let table = std::fs::read_to_string(fixtures::path("facts.tsv")).unwrap();
    let mut lines = table.lines().map(|line| line.split('\t').map(str::to_owned).collect::<Vec<_>>());
    let columns = lines.next().unwrap();
    lines
        .map(|fields| {
            assert_eq!(fields.len(), columns.len(), "{fields:?}");
            columns.iter().cloned().zip(fields).collect()
        })
        .collect()
}

/// A value as the table of facts writes it.
fn printed(value: &Value) -> (&'static str, String) {
    match value {
        Value::Flag(flag) => ("flag", flag.to_string()),
        Value::Count(count) => ("count", count.to_string()),
        Value::Decimal(number) => ("decimal", number.clone()),
        Value::Percent(number) => ("percent", number.clone()),
        Value::Ratio(ratio) => ("ratio", format!("{}/{}", ratio.numerator(), ratio.denominator())),
        Value::Money(money) => ("money", money.amount.clone()),
        Value::Category(code) => ("category", code.clone()),
        Value::Direction(direction) => {
            let direction = proto::v1::observation::Direction::try_from(*direction).unwrap();
            ("direction", direction.as_str_name().to_owned())
        }
        Value::Change(change) => ("change", change.amount.clone()),
        Value::Missing(_) => ("missing", "missing".to_owned()),
    }
}

fn baseline(change: &Change) -> String {
    match change.baseline() {
        Baseline::Unspecified => String::new(),
        Baseline::Year => format!("YEAR {}", change.baseline_year),
        other => other.as_str_name().to_owned(),
    }
}

fn change_unit(change: &Change) -> String {
    match change.unit() {
        Unit::Unspecified => change.possible_units().map(|unit| unit.as_str_name()).collect::<Vec<_>>().join("|"),
        unit => unit.as_str_name().to_owned(),
    }
}

/// A name, or what it means where nothing is said.
fn or_default(name: &str, unsaid: &str) -> String {
    if name.ends_with("_UNSPECIFIED") { unsaid.to_owned() } else { name.to_owned() }
}

/// Everything that the table says of an observation, from what the services answer.
fn described(row: &Row, unit_of_measure: &str) -> Fact {
    let observation = row.observation.clone().unwrap();
    let (value_field, figure) = printed(observation.value.as_ref().unwrap());
    let change = match &observation.value {
        Some(Value::Change(change)) => Some(change),
        _ => None,
    };
    let unit = if observation.scope() == Scope::Group { observation.units.join(",") } else { row.unit.clone() };
    let said = [
        ("indicator", observation.indicator.clone()),
        ("value_field", value_field.to_owned()),
        ("figure", figure),
        ("qualifier", or_default(observation.qualifier().as_str_name(), Qualifier::Exact.as_str_name())),
        ("basis", or_default(observation.basis().as_str_name(), "ACTUAL")),
        ("scope", or_default(observation.scope().as_str_name(), "OWN")),
        ("period", row.period.clone()),
        ("unit", unit),
        ("baseline", change.map(baseline).unwrap_or_default()),
        ("change_unit", change.map(change_unit).unwrap_or_default()),
        ("unit_of_measure", unit_of_measure.to_owned()),
        ("stated_percent", observation.stated_percent.clone()),
    ];
    said.into_iter().map(|(column, value)| (column.to_owned(), value)).collect()
}

/// Value, qualifier, basis, baseline, period, scope, unit and unit of measure of each fact come back as they went in;
/// events and duties as what they are.
#[tokio::test(flavor = "multi_thread")]
async fn every_fact_comes_back_from_the_services_as_it_went_in() {
    let pair = Pair::start();
    let revision = fixtures::load(pair.ingest.channel(), |_, _| {}).await.unwrap();
    let forms = pair.registry().list_forms(ListFormsRequest { page_size: 1000, ..Default::default() }).await.unwrap();
    let forms: BTreeMap<String, Form> =
        forms.into_inner().forms.into_iter().map(|form| (form.id.clone(), form)).collect();
    let mut fitted = BTreeSet::new();
    let mut asked: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    for fact in facts() {
        let (id, entry) = (&fact["fact_id"], &fact["entry"]);
        match fact["kind"].as_str() {
            "observation" => {
                // The fixture tells only where the fact is; what it says is asked from the services.
                let sent = &fixtures::reports(fact["file"].trim_end_matches(".json"))[entry.parse::<usize>().unwrap()];
                let sent = sent.report.clone().unwrap();
                let place: usize = fact["observation"].parse().unwrap();
                let Observation { by, scope, units, .. } = sent.observations[place].clone();
                if !asked.contains_key(&sent.unit) {
                    let request = ListObservationsRequest {
                        units: Some(UnitSelector { ids: vec![sent.unit.clone()], ..Default::default() }),
                        page_size: 1000,
                        at_least_revision: Some(revision),
                        ..Default::default()
                    };
                    let rows = pair.queries().list_observations(request).await.unwrap().into_inner().observations;
                    asked.insert(sent.unit.clone(), rows);
                }
                let is_it = |row: &&Row| {
                    let observation = row.observation.as_ref().unwrap();
                    observation.indicator == fact["indicator"]
                        && (&observation.by, observation.scope, &observation.units) == (&by, scope, &units)
                        && row.period == fact["period"]
                        && row.organ == sent.organ
                        && row.source == sent.source
                };
                let rows: Vec<&Row> = asked[&sent.unit].iter().filter(is_it).collect();
                let [row] = rows[..] else { panic!("{id}: {rows:?}") };
                let request = GetIndicatorRequest { id: fact["indicator"].clone(), version: 0 };
                let indicator = pair.registry().get_indicator(request).await.unwrap().into_inner().indicator.unwrap();
                for (column, value) in described(row, &indicator.unit_of_measure) {
                    assert_eq!(value, fact[&column], "{column} of {id}");
                }
            }
            "event" => {
                let unit = fact["unit"].split(',').next().unwrap().to_owned();
                let request = ListUnitEventsRequest { unit, page_size: 1000, ..Default::default() };
                let events = pair.registry().list_unit_events(request).await.unwrap().into_inner().events;
                let event = events.into_iter().find(|event| event.id == *entry).unwrap_or_else(|| panic!("{id}"));
                assert_eq!(event.effective_on, fact["period"], "{id}");
                assert!(fact["unit"].split(',').all(|unit| event.from.iter().any(|from| from == unit)), "{id}");
                let count = if event.from_count > 0 { event.from_count as usize } else { event.from.len() };
                assert!(fact["figure"].is_empty() || fact["figure"] == count.to_string(), "{id}");
            }
            "form" => {
                let form = &forms[entry];
                let day = match form.due.and_then(|due| due.day) {
                    Some(Day::DayOfLastMonth(day)) => format!(" {day}"),
                    Some(Day::DaysAfterEnd(days)) => format!(" +{days}"),
                    None => String::new(),
                };
                assert_eq!(format!("{}{day}", form.frequency().as_str_name()), fact["figure"], "{id}");
                assert_eq!((&form.under, &form.valid_from), (&fact["unit"], &fact["period"]), "{id}");
            }
            "unit" => {
                let request = proto::v1::GetUnitRequest { id: fact["unit"].clone(), ..Default::default() };
                pair.registry().get_unit(request).await.unwrap();
            }
            other => panic!("{id} is {other}"),
        }
        fitted.insert(id.clone());
    }
    let left_out = std::fs::read_to_string(fixtures::path("facts_left_out.md")).unwrap();
    let listed: BTreeSet<String> = left_out
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(' ').next())
        .filter(|word| word.len() == 5 && word.starts_with('F') && word.as_bytes()[2] == b'-')
        .map(str::to_owned)
        .collect();
    assert!(fitted.is_disjoint(&listed));
    assert_eq!(fitted.len() + listed.len(), 161, "facts of the five articles");
}
