//! How fast questions are answered, beside the canned RPC.

use std::{error::Error, sync::Arc, time::Duration};

use proto::v1::query_service_client::QueryServiceClient;
use tonic::transport::Channel;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use super::{
    canned::Canned,
    goals::{Bound, Goals, Milli},
    inside::Inside,
    latency::{Times, micros, one_by_one, rate},
    others,
    question::{self, Asked},
    stage::Stage,
    store, submit,
};
use crate::workload::Workload;

/// Calls to one side before it is the other's turn, so that both meet the same moods of the machine.
const CALLS_A_TURN: usize = 50;
/// Clients that ask at the same time.
const CLIENTS: usize = 64;
/// Connections that they share.
const CONNECTIONS: usize = 8;

/// The canned RPC for these questions, with the answers that the service gives.
///
/// # Errors
/// A refusal.
pub async fn canned(stage: &Stage, questions: &[Asked]) -> Result<Canned, Box<dyn Error>> {
    let mut answers = Vec::new();
    for asked in questions {
        let answer = asked.question.ask(&mut stage.questions()).await?;
        answers.push((asked.question.bytes(), answer.bytes()));
    }
    Canned::start(&stage.aside("canned"), &answers)
}

/// Times of a question on two sides, in turns.
async fn in_turns(
    asked: [&Asked; 2],
    sides: [&QueryServiceClient<Channel>; 2],
    calls: usize,
) -> Result<[Times; 2], Box<dyn Error>> {
    let mut times = [Times::default(), Times::default()];
    for turn in 0..=calls.div_ceil(CALLS_A_TURN) {
        for ((times, asked), side) in times.iter_mut().zip(asked).zip(sides) {
            // The first turn warms up.
            let mut cold = Times::default();
            let times = if turn == 0 { &mut cold } else { times };
            let call = || {
                let mut client = side.clone();
                async move { asked.question.ask(&mut client).await.map(drop) }
            };
            one_by_one(times, CALLS_A_TURN, call).await?;
        }
    }
    Ok(times)
}

/// One client asks each question, again and again; `how` is said of the answers in the names of the goals.
///
/// # Errors
/// A refusal.
pub async fn one_client(
    stage: &Stage,
    canned: &Canned,
    questions: &[Asked],
    (calls, how): (usize, &str),
    goals: &mut Goals,
) -> Result<(), Box<dyn Error>> {
    println!("One client; the empty RPC takes {} at p50.", micros(empty(canned, calls).await?.p50()));
    let theirs = QueryServiceClient::new(canned.channel());
    for asked in questions {
        let [mut ours, mut bytes] = in_turns([asked, asked], [&stage.questions(), &theirs], calls).await?;
        let mut goal = |quantile: &str, ours: u64, bytes: u64, bound: u64| {
            let name = format!("{} {quantile} over the canned RPC{how}: {}", asked.name, asked.what);
            let bound = Bound::AtMost(Milli::thousandths(bound));
            goals.measured(
                name,
                Milli::ratio(ours, bytes),
                bound,
                "×",
                format!("{} over {}", micros(ours), micros(bytes)),
            );
        };
        goal("p50", ours.p50(), bytes.p50(), 1_250);
        goal("p99", ours.p99(), bytes.p99(), 1_500);
    }
    Ok(())
}

/// Times of the empty RPC.
async fn empty(canned: &Canned, calls: usize) -> Result<Times, Box<dyn Error>> {
    let client = HealthClient::new(canned.channel());
    let mut times = Times::default();
    let call = || {
        let mut client = client.clone();
        async move { client.check(HealthCheckRequest::default()).await.map(drop) }
    };
    one_by_one(&mut times, calls, call).await?;
    Ok(times)
}

/// Empty RPCs a second, of as many clients.
///
/// # Errors
/// A refusal.
pub async fn empty_rate(canned: &Canned, lasting: Duration) -> Result<u64, Box<dyn Error>> {
    let channels: Vec<Channel> = (0..CONNECTIONS).map(|_| canned.channel()).collect();
    let client = |number: usize| {
        let client = HealthClient::new(channels[number % CONNECTIONS].clone());
        move |_| {
            let mut client = client.clone();
            async move { client.check(HealthCheckRequest::default()).await.map(drop) }
        }
    };
    Ok(rate(CLIENTS, lasting, client).await?)
}

/// The same questions in this process, beside the fastest of the other engines.
///
/// # Errors
/// A refusal.
pub async fn inside(stage: &Stage, questions: &[Asked], calls: usize, goals: &mut Goals) -> Result<(), Box<dyn Error>> {
    let inside = Inside::follow(&stage.ingest.uri(), stage.newest).await?;
    let bound = Bound::AtLeast(Milli::whole(100));
    for asked in questions {
        let ours = inside.times(&asked.question, calls).await?.p50();
        let name = format!("{} in-process beside the fastest other engine", asked.name);
        match others::fastest(&stage.load, asked.name) {
            Ok((engine, theirs)) => {
                let detail = format!("{} beside {} of {engine}", micros(ours), micros(theirs));
                goals.measured(name, Milli::ratio(theirs, ours), bound, "× faster", detail);
            }
            Err(why) => goals.unmeasured(name, bound, "× faster", &format!("{}; {why}", micros(ours))),
        }
    }
    inside.end().await;
    Ok(())
}

/// Many clients ask all questions in turns; `how` is said of the answers in the name of the goal.
///
/// # Errors
/// A refusal.
pub async fn many_clients(
    stage: &Stage,
    canned: &Canned,
    questions: &[Asked],
    (lasting, how): (Duration, &str),
    goals: &mut Goals,
) -> Result<(), Box<dyn Error>> {
    let questions: Arc<Vec<Asked>> = Arc::new(questions.to_vec());
    let asking = async |channel: &dyn Fn() -> Channel| {
        let channels: Vec<Channel> = (0..CONNECTIONS).map(|_| channel()).collect();
        let client = |number: usize| {
            let (client, questions) =
                (QueryServiceClient::new(channels[number % CONNECTIONS].clone()), questions.clone());
            move |call: usize| {
                let (mut client, questions) = (client.clone(), questions.clone());
                async move { questions[(number + call) % questions.len()].question.ask(&mut client).await.map(drop) }
            }
        };
        rate(CLIENTS, lasting, client).await
    };
    let bytes = asking(&|| canned.channel()).await?;
    let ours = asking(&|| submit::connection(&stage.query)).await?;
    let bound = Bound::AtLeast(Milli::thousandths(800));
    let detail = format!("{ours}/s over {bytes}/s");
    let name = format!("queries a second, 64 clients, over the canned RPC{how}");
    goals.measured(name, Milli::ratio(ours, bytes), bound, "×", detail);
    Ok(())
}

/// The same questions over more units: their cost may not grow. Also restarts the larger ingest-service.
///
/// # Errors
/// A refusal, or a wrong answer.
pub async fn growth(stage: &Stage, larger: Workload, calls: usize, goals: &mut Goals) -> Result<(), Box<dyn Error>> {
    println!("Registering {} units for the larger workload …", larger.size.units);
    let mut large = Stage::start(larger).await?;
    let loaded = large.fill().await?;
    large.restart_forgetful().await?;
    let questions = question::local(&large.load);
    large.check(&questions).await?;
    for (asked, grown) in question::local(&stage.load).iter().zip(&questions) {
        let [mut small, mut grown] = in_turns([asked, grown], [&stage.questions(), &large.questions()], calls).await?;
        let (small, grown) = (small.p50(), grown.p50());
        let name =
            format!("{} p50, {} → {} units, computed anew", asked.name, stage.load.size.units, large.load.size.units);
        let detail = format!("{} over {}", micros(grown), micros(small));
        goals.measured(name, Milli::ratio(grown, small), Bound::AtMost(Milli::thousandths(1_100)), "×", detail);
    }
    store::restart_ingest(&mut large, loaded.reports, goals);
    Ok(())
}
