//! `cargo bench -p tests`: the parts, each for itself. The national workload is what counts; these tell where its time goes.

#[path = "parts/world.rs"]
mod world;

use std::{hint::black_box, sync::Arc};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use ingest_service::{
    log::{Log, sled::SledLog},
    submit::Work,
};
use query_service::query;
use shared::{
    codec::{self, Record},
    convert::{self, query as door},
    model::{
        access::Caller,
        log::Link,
        period::{WrittenPeriod, parse_day},
        query::KnownAt,
    },
};
use tests::national::question::{self, Question};

use self::world::World;

fn periods(criterion: &mut Criterion) {
    for text in ["2024-Q4", "2015/2019-11-22"] {
        criterion.bench_function(&format!("period/{text}"), |b| b.iter(|| black_box(text).parse::<WrittenPeriod>()));
    }
}

/// An entry of the log that holds a report of 20 observations.
fn entries(criterion: &mut Criterion) {
    let world = World::new(20, 1);
    let record = world.records.last().expect("there are reports");
    let entry = codec::decode(record).expect("it was written");
    let mut group = criterion.benchmark_group("entry");
    group.throughput(Throughput::Bytes(record.entry.len() as u64));
    group.bench_function("decode", |b| b.iter(|| codec::decode(black_box(record))));
    group.bench_function("encode", |b| b.iter(|| codec::encode(black_box(&entry))));
    group.bench_function("chain", |b| b.iter(|| codec::next_link(black_box(&record.link), black_box(&record.entry))));
    group.finish();
}

/// From the message of a report to its place in the queue and back, everything checked and nothing written.
fn checks(criterion: &mut Criterion) {
    let world = World::new(20, 1);
    let mut request = world.load.report(0, 1, 0).expect("it reports").0;
    request.validate_only = true;
    criterion.bench_function("report/read", |b| b.iter(|| convert::ingest::submit(black_box(&request))));
    let command = convert::ingest::submit(&request).expect("it is a report");
    let check = || {
        let work = Work::Report(Box::new(command.clone()));
        world.runtime.block_on(world.submitter.submit(work, &Arc::new(Caller::unasked())))
    };
    criterion.bench_function("report/check", |b| b.iter(|| check().expect("it is valid")));
}

/// Every unit below another on a day.
fn registry(criterion: &mut Criterion) {
    let world = World::new(10_035, 0);
    let snapshot = world.submitter.snapshot();
    let day = parse_day("2024-12-31").expect("it is a day");
    let mut group = criterion.benchmark_group("registry");
    for unit in ["vn", "province-01", "district-001"] {
        let unit = unit.parse().expect("it is an id");
        let count = snapshot.registry.subtree_on(&unit, day).count();
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(format!("subtree/{count}"), |b| {
            b.iter(|| snapshot.registry.subtree_on(black_box(&unit), day).count());
        });
    }
    group.finish();
}

/// Reports made durable in groups.
fn appends(criterion: &mut Criterion) {
    let entry = &World::new(20, 1).records.pop().expect("there are reports").entry;
    let directory = world::directory();
    let log = SledLog::open(directory.path(), 0).expect("the directory is fresh");
    let group_of = |count: usize| {
        let mut last = log.tail();
        let record = |_| {
            last = codec::next_link(&last, entry);
            Record { link: Link { ..last }, entry: entry.clone() }
        };
        (0..count).map(record).collect::<Vec<Record>>()
    };
    let mut group = criterion.benchmark_group("append");
    for count in [1, 64, 1024] {
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(format!("{count}"), |b| {
            b.iter_batched(
                || group_of(count),
                |records| log.append(&records).expect("there is room"),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

/// The six questions over a small index, from the request to the rows.
fn questions(criterion: &mut Criterion) {
    let world = World::new(2_000, 4);
    let index = world.index();
    let known = index.known_at(KnownAt::Now).expect("now is known");
    let mut group = criterion.benchmark_group("question");
    for asked in question::all(&world.load) {
        group.bench_function(asked.name, |b| match &asked.question {
            Question::Share(request) => {
                b.iter(|| query::shares(&known, &door::share(black_box(request)).expect("it is read").0));
            }
            Question::Series(request) => {
                b.iter(|| {
                    query::series::rows(&known, &door::series_question(black_box(request)).expect("it is read").0)
                });
            }
            Question::Rank(request) => {
                let now = known.recorded_at().unwrap_or_default();
                b.iter(|| query::rank::rows(&known, &door::rank(black_box(request)).expect("it is read").0, now));
            }
            Question::Ratio(request) => {
                b.iter(|| query::figures(&known, &door::aggregate(black_box(request)).expect("it is read").0));
            }
        });
    }
    group.finish();
}

criterion_group!(parts, periods, entries, checks, registry, appends, questions);
criterion_main!(parts);
