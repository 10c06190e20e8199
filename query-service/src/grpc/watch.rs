//! Watch: a question that stays. Its rows, then what each change of the log changes in them, and why.
//!
//! The index keeps every state of knowledge, so that the rows at the end of each change can be computed at any time: a
//! reader that comes back with a token gets exactly what it has missed.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use prost::Message;
use proto::v1::{
    self,
    watch_request::Question,
    watch_response::{self, Piece, cause::Kind},
};
use shared::{
    access::caller,
    admit::off_thread,
    convert::query::write_meta,
    limits::{ANSWER_ROWS_MAX, RESUME_REVISIONS_MAX},
    model::{
        access::Caller,
        fault::{Fault, Reason, Violations},
        ids::IndicatorId,
        log::{Revision, StoreId},
        query::{Condition, FigureQuery, KnownAt, SEMANTICS_VERSION, ShareQuery},
    },
};
use tonic::Request;
use uuid::Uuid;

use super::{
    QueryHandlers,
    cite::prefix,
    deadline,
    explain::below,
    face::{Aggregate, Face, Share, Whole, cited},
    knowledge::Knowledge,
    pieces::{Outlet, Pieces, pieces},
};
use crate::{
    index::{Cause, Changed},
    view::Published,
};

/// Changes that are looked at before readers hear how far they are.
const CHANGES_AT_ONCE: usize = 64;
/// Causes of one change that are named.
const CAUSES_NAMED_MAX: usize = 100;
/// A reader that hears nothing for that long hears how far the rows are known.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

const CHECK_LEN: usize = 16;

/// A question that can be watched.
trait Watched: Face {
    /// A snapshot of rows.
    fn snapshot(rows: Vec<Self::Row>, meta: v1::Meta) -> watch_response::Snapshot;
    /// A change of rows.
    fn change(rows: Vec<Self::Row>, change: watch_response::Change) -> watch_response::Change;
    /// The name of a row in the list of those that are gone.
    fn name(row: &Self::Row) -> String;
    /// Indicators that a question looks at.
    fn indicators(query: &Self::Query) -> Vec<IndicatorId>;
    /// The field of the request that holds the question.
    const FIELD: &'static str;
    /// The same question without what a watch decides itself, or what is wrong with it.
    fn checked(request: &Self::Request) -> Result<Self::Request, Fault>;
}

macro_rules! watched {
    ($face:ident, $message:ident, $field:literal, $rows:ident, $indicators_of:expr) => {
        impl Watched for $face {
            const FIELD: &'static str = $field;

            fn snapshot(rows: Vec<Self::Row>, meta: v1::Meta) -> watch_response::Snapshot {
                watch_response::Snapshot { $rows: rows, meta: Some(meta), ..Default::default() }
            }

            fn change(rows: Vec<Self::Row>, change: watch_response::Change) -> watch_response::Change {
                watch_response::Change { $rows: rows, ..change }
            }

            fn name(row: &Self::Row) -> String {
                if row.unit.is_empty() { row.attribute_value.clone() } else { row.unit.clone() }
            }

            fn indicators(query: &Self::Query) -> Vec<IndicatorId> {
                let conditions = query.plan.filters.iter().filter_map(Condition::indicator);
                $indicators_of(query).into_iter().chain(conditions).cloned().collect()
            }

            fn checked(request: &v1::$message) -> Result<v1::$message, Fault> {
                let decided = [
                    ("known_at", request.known_at.is_some()),
                    ("at_least_revision", request.at_least_revision.is_some()),
                    ("page_size", request.page_size != 0),
                    ("page_token", !request.page_token.is_empty()),
                    ("from", !request.from.is_empty()),
                    ("to", !request.to.is_empty()),
                    ("step", request.step != 0),
                ];
                let mut violations = Violations::default();
                for (path, _) in decided.into_iter().filter(|(_, is_there)| *is_there) {
                    let message =
                        "does not go with a watch, which is of one time, begins with what is known now and goes on";
                    violations.add(path, Reason::ConflictingFields, message);
                }
                violations.into_result()?;
                Ok(request.clone())
            }
        }
    };
}

fn of_share(query: &ShareQuery) -> Vec<&IndicatorId> {
    vec![&query.indicator]
}

fn of_figure(query: &FigureQuery) -> Vec<&IndicatorId> {
    std::iter::once(&query.indicator).chain(&query.denominator).collect()
}

watched!(Share, GetShareRequest, "share", shares, of_share);
watched!(Aggregate, AggregateRequest, "figure", figures, of_figure);

impl QueryHandlers {
    pub(super) async fn watched(&self, request: Request<v1::WatchRequest>) -> Result<Pieces<v1::WatchResponse>, Fault> {
        let v1::WatchRequest { question, resume_token } = request.get_ref().clone();
        match question {
            None => Err(Fault::at(
                "question",
                Reason::RequiredFieldMissing,
                "is a share or a figure, as GetShare and Aggregate take it",
            )),
            Some(Question::Share(share)) => self.watch_face::<Share>(&request, share, resume_token).await,
            Some(Question::Figure(figure)) => self.watch_face::<Aggregate>(&request, figure, resume_token).await,
        }
    }

    async fn watch_face<F: Watched>(
        &self,
        request: &Request<v1::WatchRequest>,
        question: F::Request,
        resume_token: String,
    ) -> Result<Pieces<v1::WatchResponse>, Fault> {
        let in_field = |fault| below(F::FIELD, fault);
        let question = F::checked(&question).map_err(in_field)?;
        F::read(&question).map_err(in_field)?;
        let digest = digest::<F>(&question);
        let token = match resume_token.as_str() {
            "" => None,
            text => Some(ResumeToken::read(text).filter(|token| token.question == digest).ok_or_else(|| {
                let message = "is no token of this question; watch it from the start, without a token";
                Fault::at("resume_token", Reason::InvalidResumeToken, message)
            })?),
        };
        let at_least = token.as_ref().map(|token| token.revision);
        if let Some(token) = &token {
            // Whose token it is, is known before its revision is waited for.
            token.check_store(&self.view.read(None, deadline(request)).await?)?;
        }
        let published = self.published(request, at_least).await?;
        if let Some(token) = &token {
            token.check(&published)?;
        }
        let mut watch = Watch::<F> {
            question,
            digest,
            store: published.store,
            now: self.clock.clone(),
            revision: at_least.unwrap_or(published.index.revision()),
            taken: at_least,
            rows: BTreeMap::new(),
        };
        // Before the stream begins, so that what cannot be asked is refused and not cut.
        let whole = watch.whole_at(&published, watch.revision).await.map_err(in_field)?;
        let rows: Vec<F::Row> = whole.rows.iter().map(|(_, row)| row.clone()).collect();
        let snapshot = F::snapshot(rows, write_meta(&whole.meta));
        watch.rows = whole.rows.into_iter().collect();
        let newer = Newer { handlers: self.clone(), by: caller(request) };
        Ok(pieces(self.stop.clone(), self.slow_after, move |outlet| async move {
            if token.is_none() {
                watch.put(&outlet, Piece::Snapshot(snapshot)).await?;
            }
            watch.follow(&newer, published, &outlet).await
        }))
    }
}

/// What becomes known while somebody watches, as far as he sees it.
struct Newer {
    handlers: QueryHandlers,
    by: Arc<Caller>,
}

impl Newer {
    async fn after(&self, revision: Revision) -> Result<Published, Fault> {
        let published = self.handlers.view.after(revision).await?;
        self.handlers.seen_by(published, &self.by.scope).await
    }
}

/// A watch that goes on.
struct Watch<F: Face> {
    question: F::Request,
    digest: [u8; CHECK_LEN],
    store: StoreId,
    now: Arc<dyn shared::clock::Clock>,
    /// Up to which the rows are known.
    revision: Revision,
    /// Up to which the reader has taken them; none: it has taken nothing.
    taken: Option<Revision>,
    rows: BTreeMap<String, F::Row>,
}

impl<F: Watched> Watch<F> {
    async fn follow(
        mut self,
        newer: &Newer,
        mut published: Published,
        outlet: &Outlet<v1::WatchResponse>,
    ) -> Result<(), Fault> {
        loop {
            while self.revision < published.index.revision() {
                for changed in published.index.changes_after(self.revision, CHANGES_AT_ONCE) {
                    if outlet.is_left() {
                        return Ok(());
                    }
                    self.take_in(&published, &changed, outlet).await?;
                }
                self.progress(outlet).await?;
            }
            self.progress(outlet).await?;
            tokio::select! {
                () = outlet.ended() => {
                    let message = "the service is stopping; watch again from resume_token";
                    let stopping = Fault::new(Reason::ShuttingDown, message).with("resume_token", self.token(self.revision));
                    return if outlet.is_stopping() { Err(stopping) } else { Ok(()) };
                }
                newer = newer.after(self.revision) => published = newer?,
                () = tokio::time::sleep(PROGRESS_INTERVAL) => {}
            }
        }
    }

    async fn progress(&mut self, outlet: &Outlet<v1::WatchResponse>) -> Result<(), Fault> {
        self.put(outlet, Piece::Progress(watch_response::Progress { revision: self.revision.as_i64() })).await
    }

    /// Looks at what one change did.
    async fn take_in(
        &mut self,
        published: &Published,
        changed: &Changed,
        outlet: &Outlet<v1::WatchResponse>,
    ) -> Result<(), Fault> {
        let used = self.indicators()?;
        if !changed.causes.iter().any(|(_, cause)| may_matter(cause, &used)) {
            self.revision = changed.revision;
            return Ok(());
        }
        let whole = self.whole_at(published, changed.revision).await?;
        let meta = whole.meta.clone();
        let rows: BTreeMap<String, F::Row> = whole.rows.into_iter().collect();
        let removed: Vec<String> =
            self.rows.iter().filter(|(token, _)| !rows.contains_key(*token)).map(|(_, row)| F::name(row)).collect();
        let different: Vec<F::Row> =
            rows.iter().filter(|(token, row)| self.rows.get(*token) != Some(row)).map(|(_, row)| row.clone()).collect();
        self.rows = rows;
        self.revision = changed.revision;
        if removed.is_empty() && different.is_empty() {
            return Ok(());
        }
        let matters: Vec<&(Revision, Cause)> =
            changed.causes.iter().filter(|(_, cause)| may_matter(cause, &used)).collect();
        let change = watch_response::Change {
            causes: matters
                .iter()
                .take(CAUSES_NAMED_MAX)
                .map(|(revision, cause)| write_cause(*revision, cause))
                .collect(),
            cause_count: i32::try_from(matters.len()).unwrap_or(i32::MAX),
            removed,
            meta: Some(write_meta(&meta)),
            ..Default::default()
        };
        self.put(outlet, Piece::Change(F::change(different, change))).await
    }

    /// The answer as it was at the end of a change.
    async fn whole_at(&self, published: &Published, revision: Revision) -> Result<Whole<F::Row>, Fault> {
        let (question, published, now) = (self.question.clone(), published.clone(), self.now.now());
        off_thread(move || {
            let (query, ..) = F::read(&question)?;
            // "Now" is that change.
            let whole = cited::<F>(&Knowledge::of(&published, revision, now), &question, &query)?;
            if whole.rows.len() > ANSWER_ROWS_MAX {
                let count = whole.rows.len();
                let message = format!("are {count} rows, at most {ANSWER_ROWS_MAX} can be watched; watch fewer units, or group by a higher level");
                return Err(Fault::at("units", Reason::TooMany, message));
            }
            Ok(whole)
        })
        .await
    }

    /// Indicators that the question looks at.
    fn indicators(&self) -> Result<Vec<IndicatorId>, Fault> {
        Ok(F::indicators(&F::read(&self.question)?.0))
    }

    fn token(&self, revision: Revision) -> String {
        ResumeToken { store: self.store, revision, question: self.digest }.write()
    }

    /// Puts a piece that is known up to the revision of the rows. A reader that does not take it goes on before it.
    async fn put(&mut self, outlet: &Outlet<v1::WatchResponse>, piece: Piece) -> Result<(), Fault> {
        let before = self.taken.map(|revision| self.token(revision)).unwrap_or_default();
        let resume_token = self.token(self.revision);
        outlet.put(v1::WatchResponse { piece: Some(piece), resume_token }, &before).await?;
        self.taken = Some(self.revision);
        Ok(())
    }
}

/// Whether an entry can change rows that look at these indicators.
fn may_matter(cause: &Cause, used: &[IndicatorId]) -> bool {
    let says = |version: &crate::index::ReportVersion| {
        version.report().observations.iter().any(|observation| used.contains(&observation.indicator))
    };
    match cause {
        Cause::New(version) | Cause::Withdrawal(version) => says(version),
        Cause::Correction(before, after) => says(before) || says(after),
        Cause::Unit(_) | Cause::Event(..) | Cause::CompleteFrom | Cause::OtherDefinition => true,
        Cause::Indicator(id) => used.contains(id),
    }
}

fn write_cause(revision: Revision, cause: &Cause) -> watch_response::Cause {
    let kind = match cause {
        Cause::New(_) => Kind::New,
        Cause::Correction(..) => Kind::Correction,
        Cause::Withdrawal(_) => Kind::Withdrawal,
        Cause::Unit(_) | Cause::Event(..) | Cause::CompleteFrom => Kind::Reorganisation,
        Cause::Indicator(_) | Cause::OtherDefinition => Kind::Definition,
    };
    let mut written = watch_response::Cause { kind: kind.into(), revision: revision.as_i64(), ..Default::default() };
    match cause {
        Cause::New(version) | Cause::Correction(_, version) | Cause::Withdrawal(version) => {
            written.report = version.report().name.to_string();
            written.unit = version.report().unit.to_string();
        }
        Cause::Unit(unit) => written.unit = unit.to_string(),
        Cause::Event(event, unit) => {
            written.event = event.to_string();
            written.unit = unit.as_ref().map(ToString::to_string).unwrap_or_default();
        }
        Cause::Indicator(indicator) => written.indicator = indicator.to_string(),
        Cause::CompleteFrom | Cause::OtherDefinition => {}
    }
    written
}

fn digest<F: Face>(question: &F::Request) -> [u8; CHECK_LEN] {
    prefix(&blake3::Hasher::new().update(&[F::METHOD as u8]).update(&question.encode_to_vec()).finalize())
}

/// Where a watch goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ResumeToken {
    store: StoreId,
    revision: Revision,
    question: [u8; CHECK_LEN],
}

impl ResumeToken {
    fn write(&self) -> String {
        let body = [
            &SEMANTICS_VERSION.to_be_bytes()[..],
            self.store.0.as_bytes(),
            &self.revision.get().to_be_bytes(),
            &self.question,
        ]
        .concat();
        let check: [u8; CHECK_LEN] = prefix(&blake3::hash(&body));
        URL_SAFE_NO_PAD.encode([&check[..], &body].concat())
    }

    /// The token; none if it is none, or of other rules, by which the rows would differ without a cause.
    fn read(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (check, body) = bytes.split_first_chunk::<CHECK_LEN>()?;
        if *check != prefix::<CHECK_LEN>(&blake3::hash(body)) {
            return None;
        }
        let (version, rest) = body.split_first_chunk::<4>()?;
        let (store, rest) = rest.split_first_chunk::<16>()?;
        let (revision, question) = rest.split_first_chunk::<8>()?;
        let token = Self {
            store: StoreId(Uuid::from_bytes(*store)),
            revision: Revision::from(u64::from_be_bytes(*revision)),
            question: question.try_into().ok()?,
        };
        (u32::from_be_bytes(*version) == SEMANTICS_VERSION).then_some(token)
    }

    /// Whether it is of this store.
    fn check_store(&self, published: &Published) -> Result<(), Fault> {
        if self.store == published.store {
            return Ok(());
        }
        let message = format!(
            "is of store {}, this is store {}; watch from the start, without a token",
            self.store, published.store
        );
        Err(Fault::at("resume_token", Reason::ResumeTokenExpired, message))
    }

    /// Whether a watch can go on from here.
    fn check(&self, published: &Published) -> Result<(), Fault> {
        let expired = |why: String| {
            let message = format!("{why}; watch from the start, without a token");
            Err(Fault::at("resume_token", Reason::ResumeTokenExpired, message))
        };
        let newest = published.index.revision();
        if newest.get().saturating_sub(self.revision.get()) > RESUME_REVISIONS_MAX {
            return expired(format!(
                "is of revision {}, more than {RESUME_REVISIONS_MAX} behind {newest}",
                self.revision
            ));
        }
        // A token is written at the end of a change.
        let known = published.index.known_at(KnownAt::Revision(self.revision))?;
        if known.revision() != self.revision {
            return expired(format!("is of revision {}, at which no change ended here", self.revision));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_was_written_and_not_if_it_was_altered() {
        let token = ResumeToken { store: StoreId(Uuid::from_u128(3)), revision: Revision::from(9), question: [7; 16] };
        let text = token.write();
        assert_eq!(ResumeToken::read(&text), Some(token.clone()));
        for position in 0..text.len() {
            let mut altered = text.clone().into_bytes();
            altered[position] = if altered[position] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(altered).unwrap();
            assert!(altered == text || ResumeToken::read(&altered).is_none(), "altered at {position}");
        }
    }

    #[test]
    fn a_token_too_far_behind_has_expired() {
        let mut index = crate::index::Index::default();
        index.apply(&std::sync::Arc::new(shared::change::Entry {
            revision: Revision::from(RESUME_REVISIONS_MAX + 2),
            record_time: jiff::Timestamp::UNIX_EPOCH,
            ends_change: true,
            request: None,
            principal: Default::default(),
            findings: Vec::new(),
            change: shared::change::Change::Unchanged,
        }));
        let store = StoreId(Uuid::from_u128(3));
        let published = Published { store, index };
        let check = |store, revision: u64| {
            ResumeToken { store, revision: revision.into(), question: [7; 16] }.check(&published)
        };
        assert_eq!(check(store, 1).unwrap_err().reason, Reason::ResumeTokenExpired);
        let elsewhere = ResumeToken { store: StoreId(Uuid::from_u128(4)), revision: 1.into(), question: [7; 16] };
        assert_eq!(elsewhere.check_store(&published).unwrap_err().reason, Reason::ResumeTokenExpired);
        assert!(check(store, RESUME_REVISIONS_MAX + 2).is_ok());
    }
}
