//! Every kind of answer against the naive fold of the log, on random registries, events of units, indicators, reports and
//! questions.

mod place;
mod questions;
pub mod requests;
mod seen;

use proto::v1::{
    Comparison, DefineIndicatorsRequest, Distribution, Figure, Indicator, KnownAt, RegisterUnitsRequest, Series, Share,
    SubmitReportRequest, WithdrawReportRequest, known_at::At, meta::Definition,
    query_service_client::QueryServiceClient, rank_response::Place as Ranked, unit::Level,
};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use tests::harness::Pair;
use tonic::{Code, Status, transport::Channel};

use self::{questions::Kind, seen::Seen};
use crate::{
    feed::entries,
    naive::{Answer, Question, Refused, Side, World, compare},
    share::{DAYS, Place, setting},
    support::{reason, unit},
};

/// Worlds in one run; `TONGHOP_TEST_WORLDS` asks for more.
const WORLDS: usize = 12;
/// Each with a pair of services.
const WORLDS_AT_ONCE: usize = 4;
const QUESTIONS_A_WORLD: usize = 140;

/// Rows, and the definitions that they rest on.
type Answered = (Rows, Vec<Definition>);

/// The rows of any answer, and how many were left out.
#[derive(Debug, PartialEq)]
enum Rows {
    Shares(Answer<Share>),
    Figures(Answer<Figure>),
    Series(Answer<Series>),
    Places(Answer<Ranked>),
    Distributions(Answer<Distribution>),
    Comparisons(Answer<Comparison>),
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_equals_the_naive_fold_of_the_log() {
    let seed = setting("TONGHOP_TEST_SEED").unwrap_or_else(|| rand::rng().random());
    println!("TONGHOP_TEST_SEED={seed}");
    let worlds = setting("TONGHOP_TEST_WORLDS").map_or(WORLDS, |worlds| usize::try_from(worlds).unwrap());
    let mut seen = Seen::default();
    let seeds: Vec<u64> = (0..worlds).map(|world| seed.wrapping_add(u64::try_from(world).unwrap())).collect();
    for seeds in seeds.chunks(WORLDS_AT_ONCE) {
        let running: Vec<_> = seeds.iter().map(|seed| tokio::spawn(compare_world(*seed))).collect();
        for world in running {
            seen.add(world.await.unwrap());
        }
    }
    println!("{seen:#?}");
    // What is equal says something only if much was asked. Few worlds may lack something.
    let missing = seen.missing();
    assert!(worlds < WORLDS || missing.is_empty(), "no answer had any of {missing:?}");
}

async fn compare_world(seed: u64) -> Seen {
    let (random, seen) = (&mut StdRng::seed_from_u64(seed), &mut Seen::default());
    let pair = Pair::start();
    let root = RegisterUnitsRequest { units: vec![unit("vn", Level::Country, "")], ..Default::default() };
    pair.registry().register_units(root).await.unwrap();
    let mut place = Place::new(random, 0);
    let revision = fill(&pair, random, &mut place, seen).await;
    let entries = entries(&pair).await;
    let now = World::of(&entries);
    let mut queries = pair.queries();
    println!("a world of TONGHOP_TEST_SEED={seed}");
    let mut questions = questions::always(&place);
    questions.extend((0..QUESTIONS_A_WORLD).map(|_| questions::any(random, &place)));
    for (kind, question) in questions {
        let asked = Asked { kind: &kind, question: &question, page_size: if random.random_bool(0.1) { 2 } else { 0 } };
        let answer = asked.of(&mut queries, Some(revision), [None, None]).await;
        check(seen, asked, asked.expected(&now, &now), answer);

        // As it was known then: the same question to the entries up to the last end of a change.
        let earliest = if random.random_bool(0.2) { 1 } else { entries.len() * 2 / 3 };
        let then = random.random_range(earliest..=entries.len());
        let ended = entries[..then].iter().rposition(|entry| entry.ends_change).map_or(0, |place| place + 1);
        let past = World::of(&entries[..ended]);
        let known_at = Some(KnownAt { at: Some(At::Revision(i64::try_from(then).unwrap())) });
        let answer = asked.of(&mut queries, None, [known_at, known_at]).await;
        check(seen, asked, asked.expected(&past, &past), answer);
        if matches!(kind, Kind::Compare(..)) {
            let answer = asked.of(&mut queries, None, [known_at, None]).await;
            check(seen, asked, asked.expected(&past, &now), answer);
        }
    }
    std::mem::take(seen)
}

/// Compares an answer, or that there is none.
fn check(seen: &mut Seen, asked: Asked<'_>, expected: Result<Answered, Refused>, answer: Result<Answered, Status>) {
    match (expected, answer) {
        (Ok(expected), Ok(answer)) => {
            assert!(answer == expected, "{asked:#?}\n{}", difference(&expected, &answer));
            seen.see(asked, &expected.0);
        }
        (Err(refused), Err(status)) => {
            let code = if refused == Refused::Unknown { Code::NotFound } else { Code::InvalidArgument };
            // Of two sides either may be looked at first.
            let is_any = matches!(asked.kind, Kind::Compare(..))
                && [Code::NotFound, Code::InvalidArgument].contains(&status.code());
            assert!(status.code() == code || is_any, "{status}: {asked:#?}");
            seen.count(format!("refused {refused:?}"));
            seen.count(format!("refused {}", reason(&status)));
        }
        (expected, answer) => panic!("{asked:#?}\nexpected {expected:#?}\nanswered {answer:#?}"),
    }
}

/// The first lines that differ, with those ahead of them.
fn difference(expected: &Answered, answer: &Answered) -> String {
    let (expected, answer) = (format!("{expected:#?}"), format!("{answer:#?}"));
    let same = expected.lines().zip(answer.lines()).take_while(|(a, b)| a == b).count();
    let part = |text: &str| {
        let lines = text.lines().enumerate().skip(same.saturating_sub(40)).take(90);
        lines.map(|(at, line)| format!("{} {line}\n", if at < same { ' ' } else { '>' })).collect::<String>()
    };
    format!("expected\n{}answered\n{}", part(&expected), part(&answer))
}

/// One question.
#[derive(Clone, Copy, Debug)]
struct Asked<'a> {
    kind: &'a Kind,
    question: &'a Question,
    /// 0: all rows at once.
    page_size: i32,
}

/// Asks until the service has read its log, page by page.
macro_rules! walk {
    ($queries:ident, $method:ident, $request:expr, $rows:ident, $page_size:expr) => {{
        let mut request = $request;
        request.page_size = $page_size;
        let mut rows = Vec::new();
        loop {
            let answer = match $queries.$method(request.clone()).await {
                Err(status) if reason(&status) == "CATCHING_UP" => {
                    crate::support::pause().await;
                    continue;
                }
                answer => answer?.into_inner(),
            };
            rows.extend(answer.$rows);
            if answer.next_page_token.is_empty() {
                let definitions = answer.meta.unwrap().definitions;
                break (Answer { rows, below: answer.rows_below_coverage }, definitions);
            }
            request.page_token = answer.next_page_token;
        }
    }};
}

impl Asked<'_> {
    /// What the service answers, with each side as it was known then.
    async fn of(
        self,
        queries: &mut QueryServiceClient<Channel>,
        at_least_revision: Option<i64>,
        [known_at, known_at_b]: [Option<KnownAt>; 2],
    ) -> Result<Answered, Status> {
        macro_rules! answer {
            ($kind:ident, $method:ident, $request:expr, $rows:ident) => {{
                let mut request = $request;
                (request.at_least_revision, request.known_at) = (at_least_revision, known_at);
                let (answer, definitions) = walk!(queries, $method, request, $rows, self.page_size);
                (Rows::$kind(answer), definitions)
            }};
        }
        let question = self.question;
        Ok(match self.kind {
            Kind::Share => answer!(Shares, get_share, requests::share(question), shares),
            Kind::Aggregate => answer!(Figures, aggregate, requests::aggregate(question), figures),
            Kind::Series => answer!(Series, get_series, requests::series(question), series),
            Kind::Rank(ranking) => answer!(Places, rank, requests::rank(question, *ranking), places),
            Kind::Distribution => {
                answer!(Distributions, get_distribution, requests::distribution(question), distributions)
            }
            Kind::Compare(other, comparing) => {
                let mut request = requests::compare(question, other, *comparing);
                request.at_least_revision = at_least_revision;
                for (side, known_at) in [(&mut request.a, known_at), (&mut request.b, known_at_b)] {
                    side.as_mut().unwrap().known_at = known_at;
                }
                let (answer, definitions) = walk!(queries, compare, request, comparisons, self.page_size);
                (Rows::Comparisons(answer), definitions)
            }
        })
    }

    /// What the rules say, for what is known to each side.
    fn expected(self, world: &World, other: &World) -> Result<Answered, Refused> {
        let question = self.question;
        let rows = match self.kind {
            Kind::Share => Rows::Shares(world.share(question)?),
            Kind::Aggregate => Rows::Figures(world.aggregate(question)?),
            Kind::Series => Rows::Series(world.series(question)?),
            Kind::Rank(ranking) => Rows::Places(world.rank(question, *ranking)?),
            Kind::Distribution => Rows::Distributions(world.distribution(question)?),
            Kind::Compare(b, comparing) => {
                let (a, b) = (Side { world, question }, Side { world: other, question: b });
                Rows::Comparisons(compare(a, b, *comparing)?)
            }
        };
        // What is compared is side b.
        let rests_on =
            if let Kind::Compare(b, _) = self.kind { other.definitions(b) } else { world.definitions(question) };
        Ok((rows, rests_on))
    }
}

async fn define(pair: &Pair, indicators: Vec<Indicator>) -> i64 {
    let request = DefineIndicatorsRequest { indicators, ..Default::default() };
    pair.registry().define_indicators(request).await.unwrap().into_inner().revision
}

/// Registers units and indicators; records what happens and submits reports, in turns, corrections and withdrawals among
/// them. The newest revision.
async fn fill(pair: &Pair, random: &mut StdRng, place: &mut Place, seen: &mut Seen) -> i64 {
    let complete_from = if random.random_bool(0.5) { "2013-01-01".to_owned() } else { String::new() };
    let request = RegisterUnitsRequest { units: place.units.clone(), complete_from, ..Default::default() };
    pair.registry().register_units(request).await.unwrap();
    let some = |random: &mut StdRng, place: &Place, version: i32, indicator: Indicator| {
        let is_for_all = random.random_bool(0.6);
        let valid_from = if version > 1 { (*DAYS.choose(random).unwrap()).to_owned() } else { String::new() };
        if is_for_all {
            Indicator { version, valid_from, ..indicator }
        } else {
            place.for_some(random, version, indicator)
        }
    };
    let defined = place::indicators().into_iter().map(|indicator| some(random, place, 1, indicator)).collect();
    let mut revision = define(pair, defined).await;
    let mut names: Vec<String> = Vec::new();
    let mut naive = World::of(&entries(pair).await);
    for _ in 0..random.random_range(60..90) {
        if random.random_bool(0.08) {
            let indicator = place::indicators().choose(random).unwrap().clone();
            let version = i32::try_from(naive.version(&indicator.id)).unwrap() + 1;
            revision = define(pair, vec![some(random, place, version, indicator)]).await;
            naive = World::of(&entries(pair).await);
        }
        if random.random_bool(0.12) {
            let request = place.happens(random, &naive);
            if let Ok(receipt) = pair.registry().record_unit_events(request.clone()).await {
                revision = receipt.into_inner().revision;
                seen.count("event".to_owned());
                place.ids.extend(request.units.into_iter().map(|unit| unit.id));
                for event in request.events {
                    place.events.retain(|other| other.id != event.id);
                    place.events.push(event);
                }
                naive = World::of(&entries(pair).await);
            }
        }
        for mut report in place::reports(random, place, &naive) {
            if random.random_bool(0.12)
                && let Some(name) = names.choose(random)
            {
                report.name = name.clone();
            }
            let request = SubmitReportRequest { report: Some(report), ..Default::default() };
            match pair.reports().submit_report(request).await {
                Ok(receipt) => {
                    let receipt = receipt.into_inner();
                    revision = receipt.revision.unwrap();
                    seen.count("report".to_owned());
                    names.push(receipt.report.unwrap().name);
                    if random.random_bool(0.07) {
                        let name = names.choose(random).unwrap().clone();
                        let withdraw =
                            WithdrawReportRequest { name, reason: "a test".to_owned(), ..Default::default() };
                        // It may have been withdrawn before.
                        if let Ok(receipt) = pair.reports().withdraw_report(withdraw).await {
                            revision = receipt.into_inner().revision.unwrap();
                        }
                    }
                }
                // A period on no day of which a unit lives is refused, and so is a name for what another report is.
                Err(status) => {
                    let refused = reason(&status);
                    assert!(["UNIT_NOT_ALIVE", "REPORT_IDENTITY_TAKEN"].contains(&refused.as_str()), "{status}");
                    seen.count("report refused".to_owned());
                }
            }
        }
    }
    revision
}
