//! The forty questions, asked as grpcurl asks them. Each answer has to contain what `fixtures/questions.json` expects of it,
//! and the page that shows them has to be in step: `TONGHOP_WRITE_PAGES=1` writes it.

use std::{collections::HashMap, env, fmt::Write, fs};

use serde_json::{Map, Value, json};
use tests::{
    fixtures,
    harness::{Pair, workspace},
    json::call,
};
use tonic::Status;

use crate::support::{reason, violations};

const PAGE: &str = "query-service/QUESTIONS.md";
/// In an expected list: elements that are left out, or none.
const LEFT_OUT: &str = "…";
/// Columns of a line on the page.
const WIDTH: usize = 118;
const OUTCOMES: [(&str, &str); 4] = [
    ("answered", "there is a figure or a list"),
    ("open", "it is computed, and too few have reported: the answer is the bounds, the coverage and the reason"),
    ("refused", "a figure would be made up: the call is refused, or the reports that come near are not used"),
    ("not answered", "what is asked about is not in the model; what comes nearest is shown"),
];

/// A call as it was made, and the part of its answer that is shown.
struct Shown {
    port: u16,
    method: String,
    request: String,
    answer: Value,
    counts: Vec<String>,
}

#[tokio::test(flavor = "multi_thread")]
async fn the_forty_questions_are_answered_as_the_page_shows() {
    let book: Value = serde_json::from_str(&fs::read_to_string(fixtures::path("questions.json")).unwrap()).unwrap();
    let questions = book["questions"].as_array().unwrap();
    let numbers: Vec<i64> = questions.iter().map(|question| question["number"].as_i64().unwrap()).collect();
    assert_eq!(numbers, (1..=40).collect::<Vec<_>>());

    let pair = Pair::start();
    let revision = fixtures::load(pair.ingest.channel(), |_, _| {}).await.unwrap();
    let known = json!({"id": "vn", "at_least_revision": revision});
    call(pair.query.channel(), "tonghop.v1.QueryService/GetUnit", &known).await.unwrap();
    let mut words = HashMap::from([
        ("{correction}".to_owned(), correction()),
        ("{revision_before_correction}".to_owned(), json!(revision.to_string())),
    ]);
    let (mut shown, mut faults) = (Vec::new(), Vec::new());
    for question in questions {
        let mut calls = Vec::new();
        for asked in question["calls"].as_array().unwrap() {
            match ask(&pair, asked, &mut words).await {
                Ok(call) => calls.push(call),
                Err(fault) => faults.push(format!("{} {}: {fault}", question["number"], asked["method"])),
            }
        }
        shown.push(calls);
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));

    let page = page(&book, &shown);
    let path = workspace().join(PAGE);
    if env::var_os("TONGHOP_WRITE_PAGES").is_some_and(|value| value == "1") {
        fs::write(path, page).unwrap();
        return;
    }
    let written = fs::read_to_string(path).unwrap_or_default();
    let differs = written.lines().zip(page.lines()).position(|(written, page)| written != page);
    assert!(written == page, "{PAGE} is out of step (line {differs:?}); TONGHOP_WRITE_PAGES=1 writes it");
}

/// The report of Long Biên about its cadres as it was sent, with one printed percentage corrected.
fn correction() -> Value {
    let text = fs::read_to_string(fixtures::path("reports/long-bien.json")).unwrap();
    let requests: Vec<Value> = serde_json::from_str(&text).unwrap();
    let mut reports = requests.into_iter().map(|request| request["report"].clone());
    let mut report = reports.find(|report| report["observations"].to_string().contains("cadre_ratings")).unwrap();
    for observation in report["observations"].as_array_mut().unwrap() {
        if observation["stated_percent"] == "11.95" {
            observation["stated_percent"] = json!("1.195");
        }
    }
    report["sender"] = json!("a correcting office");
    report
}

/// Makes a call, checks its answer and keeps what later calls name.
async fn ask(pair: &Pair, asked: &Value, words: &mut HashMap<String, Value>) -> Result<Shown, String> {
    let method = format!("tonghop.v1.{}/{}", asked["service"].as_str().unwrap(), asked["method"].as_str().unwrap());
    let request = filled(&asked["request"], words);
    let (service, port) = if asked["service"] == "QueryService" { (&pair.query, 50052) } else { (&pair.ingest, 50051) };
    let answered = call(service.channel(), &method, &request).await;
    let (expected, answered) = match (asked.get("refusal"), answered) {
        (Some(refusal), Err(status)) => (refusal, refusal_of(&status)),
        (None, Ok(answer)) => (&asked["answer"], answer),
        (Some(_), Ok(answer)) => return Err(format!("it is answered: {answer}")),
        (None, Err(status)) => return Err(format!("it is refused: {status}")),
    };
    let answer = part(&filled(expected, words), &answered)?;
    let mut counts = Vec::new();
    for (pointer, count) in asked.get("counts").and_then(Value::as_object).into_iter().flatten() {
        let found = answered.pointer(pointer).and_then(Value::as_array).map_or(0, Vec::len);
        if json!(found) != *count {
            return Err(format!("{pointer} has {found} elements, not {count}"));
        }
        counts.push(format!("{found} `{}`", pointer.rsplit('/').next().unwrap()));
    }
    for (name, pointer) in asked.get("keep").and_then(Value::as_object).into_iter().flatten() {
        let kept = answered.pointer(pointer.as_str().unwrap()).ok_or_else(|| format!("there is no {pointer}"))?;
        words.insert(format!("{{{name}}}"), kept.clone());
    }
    let request = request.to_string();
    assert!(!request.contains('\''), "it stands between apostrophes on the page: {request}");
    Ok(Shown { port, method, request, answer, counts })
}

/// With what the test knows in the places of `{names}`.
fn filled(value: &Value, words: &HashMap<String, Value>) -> Value {
    match value {
        Value::String(text) => words.get(text).unwrap_or(value).clone(),
        Value::Array(elements) => elements.iter().map(|element| filled(element, words)).collect(),
        Value::Object(fields) => fields.iter().map(|(name, field)| (name.clone(), filled(field, words))).collect(),
        other => other.clone(),
    }
}

/// A refusal as JSON, with the code as grpcurl prints it.
fn refusal_of(status: &Status) -> Value {
    let path = violations(status).first().map(|(path, _)| path.clone()).unwrap_or_default();
    let message = status.message().strip_prefix(&format!("{path}: ")).unwrap_or(status.message());
    json!({"code": format!("{:?}", status.code()), "reason": reason(status), "path": path, "message": message})
}

/// The part of an answer that is expected; null stands for what is absent.
fn part(expected: &Value, answered: &Value) -> Result<Value, String> {
    match (expected, answered) {
        (Value::Object(expected), Value::Object(answered)) => {
            for (name, value) in expected {
                match answered.get(name) {
                    None if !value.is_null() => return Err(format!("there is no {name}, where {value} is expected")),
                    Some(found) if value.is_null() => return Err(format!("{name} is {found}, where none is expected")),
                    _ => {}
                }
            }
            let mut fields = Map::new();
            for (name, found) in answered {
                if let Some(value) = expected.get(name) {
                    let found = part(value, found).map_err(|fault| format!("{name}: {fault}"))?;
                    fields.insert(name.clone(), found);
                }
            }
            Ok(Value::Object(fields))
        }
        (Value::Array(expected), Value::Array(answered)) => elements(expected, answered),
        _ if expected == answered => Ok(answered.clone()),
        _ => Err(format!("{answered}, not {expected}")),
    }
}

/// The elements that are expected, in their order.
fn elements(expected: &[Value], answered: &[Value]) -> Result<Value, String> {
    let mut rest = answered.iter();
    let (mut found, mut may_skip) = (Vec::new(), false);
    for element in expected {
        if element == LEFT_OUT {
            may_skip = true;
            continue;
        }
        let mut is_skipped = false;
        loop {
            let next = rest.next().ok_or_else(|| format!("{element} is not among {answered:?}"))?;
            match part(element, next) {
                Ok(next) => {
                    found.extend(is_skipped.then(|| json!(LEFT_OUT)));
                    found.push(next);
                    break;
                }
                Err(fault) if !may_skip => return Err(fault),
                Err(_) => is_skipped = true,
            }
        }
        may_skip = false;
    }
    match rest.len() {
        0 => {}
        _ if may_skip => found.push(json!(LEFT_OUT)),
        more => return Err(format!("{more} more than expected: {:?}", rest.next())),
    }
    Ok(Value::Array(found))
}

/// JSON with one element or field a line, unless all of it fits on one.
fn pretty(value: &Value, indent: usize) -> String {
    let line = one_line(value);
    if indent + line.chars().count() <= WIDTH {
        return line;
    }
    let pad = " ".repeat(indent + 2);
    let lines: Vec<String> = match value {
        Value::Array(elements) => {
            elements.iter().map(|element| format!("{pad}{}", pretty(element, indent + 2))).collect()
        }
        Value::Object(fields) => {
            fields.iter().map(|(name, field)| format!("{pad}{}: {}", json!(name), pretty(field, indent + 2))).collect()
        }
        _ => return line,
    };
    let (open, close) = if value.is_array() { ('[', ']') } else { ('{', '}') };
    format!("{open}\n{}\n{}{close}", lines.join(",\n"), " ".repeat(indent))
}

fn one_line(value: &Value) -> String {
    match value {
        Value::Array(elements) => {
            format!("[{}]", elements.iter().map(one_line).collect::<Vec<_>>().join(", "))
        }
        Value::Object(fields) => {
            let field = |(name, field): (&String, &Value)| format!("{}: {}", json!(name), one_line(field));
            format!("{{{}}}", fields.iter().map(field).collect::<Vec<_>>().join(", "))
        }
        scalar => scalar.to_string(),
    }
}

const INTRODUCTION: &str = "\
# Forty questions

Questions that people ask about the work of committees, each as one call or a few, and what comes back. They are asked of
the data of the demonstration: the register of Vietnam's provinces, districts and communes with its reform of 1 July 2025,
and what five district committees published about themselves between 2017 and 2020. `cargo demo`, in the top directory,
starts both services with it; then every command can be typed as it stands. Question 37 writes: it submits a correction,
so 29, 30 and 36 are asked before it.

Few have reported, and that is what many of the answers say. An answer never hides who is silent: `expected` is how many
units there are, `notReported` how many said nothing, and `lower` and `upper` are what the figure would be whatever the
silent ones said. Where no figure can be given, `emptyReason` says why. [SEMANTICS.md](SEMANTICS.md) has the rules.

The answers are shortened: fields that do not matter here are left out, and `\"…\"` stands for elements of a list that are. A
refusal is shown with its code, reason, the path of the field and the message. A test asks all of it again and compares.
";

/// The page as it should be.
fn page(book: &Value, shown: &[Vec<Shown>]) -> String {
    let questions = book["questions"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut page = format!("{INTRODUCTION}\n| outcome | what it means | questions |\n|---|---|---|\n");
    for (outcome, meaning) in OUTCOMES {
        let of_it = questions.iter().filter(|question| question["outcome"] == outcome);
        let links: Vec<String> = of_it.map(|question| link(&question["number"])).collect();
        writeln!(page, "| {outcome} | {meaning} | {} |", links.join(", ")).unwrap();
    }
    let groups: Vec<(String, &[Value])> = book["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| {
            let place = |name: &str| usize::try_from(group[name].as_u64().unwrap()).unwrap();
            (text(&group["title"]), &questions[place("first") - 1..place("last")])
        })
        .collect();
    for (title, questions) in &groups {
        writeln!(page, "\n**{title}**\n").unwrap();
        for question in *questions {
            let [vi, en] = ["vi", "en"].map(|name| text(&question[name]));
            writeln!(page, "- {}. {vi} — *{en}*", link(&question["number"])).unwrap();
        }
    }
    let mut shown = shown.iter();
    for (title, questions) in groups {
        writeln!(page, "\n## {title}").unwrap();
        for question in questions {
            let known = OUTCOMES.iter().any(|(outcome, _)| question["outcome"] == *outcome);
            assert!(known, "{} is no outcome", question["outcome"]);
            let [vi, en, outcome, meaning] = ["vi", "en", "outcome", "meaning"].map(|name| text(&question[name]));
            writeln!(page, "\n### Question {}\n\n{}", question["number"], wrapped(&format!("**{vi}** {en}"))).unwrap();
            page.push_str(&wrapped(&format!("*{}.* {meaning}", capitalised(&outcome))));
            for call in shown.next().unwrap() {
                page.push_str(&example(call));
            }
        }
    }
    page
}

/// A paragraph in lines.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is always one");
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push(word.to_owned());
        } else {
            *line = if line.is_empty() { word.to_owned() } else { format!("{line} {word}") };
        }
    }
    lines.join("\n") + "\n"
}

fn link(number: &Value) -> String {
    format!("[{number}](#question-{number})")
}

fn capitalised(text: &str) -> String {
    let (first, rest) = text.split_at(1);
    first.to_uppercase() + rest
}

fn example(Shown { port, method, request, answer, counts }: &Shown) -> String {
    let answer = pretty(answer, 0);
    let mut example =
        format!("\n```console\n$ grpcurl -plaintext -d '{request}' \\\n    localhost:{port} {method}\n{answer}\n```\n");
    if !counts.is_empty() {
        writeln!(example, "\nIn all: {}.", counts.join(", ")).unwrap();
    }
    example
}
