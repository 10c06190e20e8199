//! A start with facts on disk, whatever became of them, makes the state that the log alone makes.

use proptest::prelude::*;
use shared::change::Change;
use uuid::Uuid;

use super::{
    super::{
        facts_file::{FactsFile, Line},
        replay::replay,
    },
    *,
};

#[derive(Clone, Debug)]
enum Step {
    Submit { title: usize, year: usize, flag: bool, request: Option<u128> },
    Withdraw { report: prop::sample::Index },
}

/// What happens to the file between two lives of the service.
#[derive(Clone, Debug)]
enum Damage {
    None,
    Removed,
    Cut(prop::sample::Index),
    Flipped(prop::sample::Index, u8),
    Longer(Vec<u8>),
    /// Of an earlier moment.
    Older,
}

fn step() -> impl Strategy<Value = Step> {
    let submit = (0..3usize, 0..2usize, any::<bool>(), prop::option::of(1..1_000_000u128));
    prop_oneof![
        5 => submit.prop_map(|(title, year, flag, request)| Step::Submit { title, year, flag, request }),
        1 => any::<prop::sample::Index>().prop_map(|report| Step::Withdraw { report }),
    ]
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        Just(Damage::None),
        Just(Damage::Removed),
        Just(Damage::Older),
        any::<prop::sample::Index>().prop_map(Damage::Cut),
        (any::<prop::sample::Index>(), 0..8u8).prop_map(|(at, bit)| Damage::Flipped(at, bit)),
        prop::collection::vec(any::<u8>(), 1..200).prop_map(Damage::Longer),
    ]
}

impl Damage {
    fn happen(&self, path: &Path, older: &[u8]) {
        let mut bytes = std::fs::read(path).unwrap();
        match self {
            Self::None => {}
            Self::Removed => return std::fs::remove_file(path).unwrap(),
            Self::Cut(at) => bytes.truncate(at.index(bytes.len())),
            Self::Flipped(at, bit) => {
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << bit;
            }
            Self::Longer(more) => bytes.extend_from_slice(more),
            Self::Older => bytes = older.to_vec(),
        }
        std::fs::write(path, bytes).unwrap();
    }
}

async fn take(step: &Step, submitter: &Submitter) {
    let work = match step {
        Step::Submit { title, year, flag, request: id } => {
            let mut request = request(["a", "b", "c"][*title], *flag);
            request.report.as_mut().unwrap().period = ["2017", "2018"][*year].to_owned();
            request.request_id = id.map(|id| Uuid::from_u128(id | 7 << 76 | 2 << 62).to_string()).unwrap_or_default();
            Work::Report(Box::new(ingest::submit(&request).unwrap()))
        }
        Step::Withdraw { report } => {
            let names: Vec<_> = submitter.snapshot().reports.keys().copied().collect();
            if names.is_empty() {
                return;
            }
            let name = report.get(&names).to_string();
            let request = proto::v1::WithdrawReportRequest { name, reason: "wrong".to_owned(), ..Default::default() };
            Work::Withdrawal(ingest::withdraw(&request).unwrap())
        }
    };
    // Some are refused: that is a life, too.
    let _ = submitter.submit(work, &unasked()).await;
}

fn known(path: &Path, log: &MemoryLog) -> usize {
    let mut file = FactsFile::open(path, log.store()).unwrap();
    let (mut last, mut known) = (codec::genesis(log.store()), 0);
    while let Some(block) = file.next(&last) {
        last = block.last;
        known += block.lines.iter().filter(|line| matches!(line, Line::Report(_))).count();
    }
    assert_eq!(last, log.tail(), "every entry has a line");
    known
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn a_start_with_facts_is_a_start_without(
        lives in prop::collection::vec((prop::collection::vec(step(), 0..12), damage()), 1..4),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("facts");
        runtime.block_on(async {
            let Fixture { log, mut submitter, mut writer } = fixture_with(Some(&path)).await;
            let mut older = std::fs::read(&path).unwrap();
            for (steps, damage) in lives {
                for step in &steps {
                    take(step, &submitter).await;
                }
                writer.stop();
                let alone = replay(&*log, None).unwrap().0.image();
                let plain = log.read(Revision::ZERO, usize::MAX).unwrap().iter().filter(|record| {
                    let entry = codec::decode(record).unwrap();
                    matches!(entry.change, Change::ReportSubmitted(_)) && entry.findings.is_empty()
                }).count();
                assert_eq!(known(&path, &log), plain);
                let newer = std::fs::read(&path).unwrap();
                damage.happen(&path, &older);
                older = newer;
                // Once over what is left, and once over what that start has added.
                for _ in 0..2 {
                    let (state, _) = replay(&*log, Some(&path)).unwrap();
                    assert!(state.image() == alone, "after {damage:?}");
                }
                assert_eq!(known(&path, &log), plain);
                (submitter, writer) = start(log.clone(), Arc::new(SystemClock), Some(&path)).unwrap();
            }
            writer.stop();
        });
    }
}

#[tokio::test]
async fn facts_of_what_the_log_does_not_have_are_not_used() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("facts");
    let one = fixture_with(Some(&path)).await;
    one.submit(&request("a", true)).await.unwrap();
    one.writer.stop();
    let with_a = std::fs::read(&path).unwrap();
    // The same store as it would be had another report come.
    let records = one.log.read(Revision::ZERO, usize::MAX).unwrap();
    let log = Arc::new(MemoryLog::default());
    log.append(&records[..records.len() - 1]).unwrap();
    let (submitter, writer) = start(log.clone(), Arc::new(SystemClock), None).unwrap();
    let other = Fixture { log, submitter, writer };
    other.submit(&request("b", true)).await.unwrap();
    let alone = replay(&*other.log, None).unwrap().0.image();
    for _ in 0..2 {
        assert!(replay(&*other.log, Some(&path)).unwrap().0.image() == alone);
    }
    assert_ne!(std::fs::read(&path).unwrap(), with_a);
    assert_eq!(known(&path, &other.log), 1);
}
