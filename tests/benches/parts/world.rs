//! A small national workload in a store of its own, without a service around it.

use std::{path::Path, sync::Arc};

use ingest_service::{
    log::{Log, sled::SledLog},
    submit::{self, Submitter, Work, Writer},
};
use proto::v1::{DefineIndicatorsRequest, RegisterUnitsRequest};
use query_service::{
    archive::{Archive, MemoryArchive},
    index::Index,
};
use shared::{
    clock::SystemClock,
    codec::{self, Record},
    convert,
    model::access::Caller,
};
use tempfile::TempDir;
use tests::{
    harness::workspace,
    workload::{COMPLETE_FROM, Size, Workload},
};
use tokio::{runtime::Runtime, task::JoinSet};

/// Reports on their way at once.
const AT_ONCE: usize = 1_000;

/// A workload that was accepted and made durable.
pub(crate) struct World {
    /// What it is.
    pub(crate) load: Workload,
    /// Its log.
    pub(crate) records: Vec<Record>,
    /// Takes more.
    pub(crate) submitter: Submitter,
    /// Runs what waits.
    pub(crate) runtime: Runtime,
    _writer: Writer,
    _directory: TempDir,
}

impl World {
    /// So many units, each of which reports 40 indicators for so many quarters.
    pub(crate) fn new(units: usize, quarters: usize) -> Self {
        let load = Workload::new(Size { units, indicators: 40, quarters, seed: 1 });
        let runtime = Runtime::new().expect("threads can be started");
        let directory = directory();
        let log: Arc<dyn Log> = Arc::new(SledLog::open(directory.path(), 0).expect("the directory is fresh"));
        let (submitter, writer) =
            submit::start(log.clone(), Arc::new(SystemClock), None).expect("an empty log is replayed");
        let done = runtime.block_on(fill(&load, &submitter));
        assert_eq!(done, submitter.snapshot().reports.size());
        let records = read(&*log);
        Self { load, records, submitter, runtime, _writer: writer, _directory: directory }
    }

    /// The fold of its log.
    pub(crate) fn index(&self) -> Index {
        let archive = Arc::new(MemoryArchive::default());
        let mut index = Index::new(archive.clone());
        for record in &self.records {
            let entry = Arc::new(codec::decode(record).expect("it was written"));
            archive.keep(record, &entry);
            index.apply(&entry);
        }
        index
    }
}

/// A directory on the disk of the build.
pub(crate) fn directory() -> TempDir {
    let target: &Path = &workspace().join("target");
    tempfile::Builder::new().prefix("bench-").tempdir_in(target).expect("a directory can be made")
}

async fn fill(load: &Workload, submitter: &Submitter) -> usize {
    let request = RegisterUnitsRequest { complete_from: COMPLETE_FROM.into(), ..Default::default() };
    let units: Vec<_> = load.register().collect();
    let mut requests: Vec<_> =
        units.chunks(5_000).map(|units| RegisterUnitsRequest { units: units.to_vec(), ..Default::default() }).collect();
    requests.push(request);
    for request in requests {
        let command = convert::registry::register_units(&request).expect("they are units");
        submitter.submit(Work::Units(command), &Arc::new(Caller::unasked())).await.expect("the register is accepted");
    }
    let request = DefineIndicatorsRequest { indicators: load.indicators(), ..Default::default() };
    let command = convert::registry::define_indicators(&request).expect("they are indicators");
    submitter
        .submit(Work::Indicators(command), &Arc::new(Caller::unasked()))
        .await
        .expect("the indicators are accepted");

    let size = load.size;
    let cells = (0..size.quarters).flat_map(|quarter| (0..size.units).map(move |unit| (quarter, unit)));
    let reports = cells.flat_map(|(quarter, unit)| (0..load.parts()).map(move |part| (unit, quarter, part)));
    let requests: Vec<_> =
        reports.filter_map(|(unit, quarter, part)| Some(load.report(unit, quarter, part)?.0)).collect();
    for requests in requests.chunks(AT_ONCE) {
        let mut tasks = JoinSet::new();
        for request in requests {
            let command = convert::ingest::submit(request).expect("it is a report");
            let submitter = submitter.clone();
            tasks.spawn(async move {
                submitter.submit(Work::Report(Box::new(command)), &Arc::new(Caller::unasked())).await
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.expect("a task ends").expect("the report is accepted");
        }
    }
    requests.len()
}

fn read(log: &dyn Log) -> Vec<Record> {
    let mut records: Vec<Record> = Vec::new();
    loop {
        let last = records.last().map_or(codec::genesis(log.store()), |record| record.link).revision;
        let more = log.read(last, 1024 * 1024).expect("the log is whole");
        if more.is_empty() {
            return records;
        }
        records.extend(more);
    }
}
