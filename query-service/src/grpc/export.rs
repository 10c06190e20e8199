//! Export: observations or answers as a file, in pieces. A file holds all rows, whatever page the question names.

use jiff::Timestamp;
use proto::v1::{self, export_request::Question as Asked};
use shared::{
    admit::off_thread,
    convert::query as door,
    model::{
        fault::{Fault, Reason},
        query::ObservationsQuery,
    },
};
use tonic::Request;

use super::{
    QueryHandlers,
    explain::below,
    face::{Aggregate, Face, Share, Whole, cited},
    file::{self, Format, Head, Kind, Question, ROWS_PER_PUSH, Rows, Writer},
    knowledge::Knowledge,
    pieces::{Outlet, Pieces, pieces},
};
use crate::{query, view::Published};

impl QueryHandlers {
    pub(super) async fn exported(
        &self,
        request: Request<v1::ExportRequest>,
    ) -> Result<Pieces<v1::ExportResponse>, Fault> {
        let v1::ExportRequest { question, format } = request.get_ref().clone();
        let format = match v1::export_request::Format::try_from(format) {
            Ok(v1::export_request::Format::Unspecified | v1::export_request::Format::Csv) => Format::Csv,
            Ok(v1::export_request::Format::Arrow) => Format::Arrow,
            Err(_) => {
                let message = format!("{format} is no value of this enum; write CSV or ARROW");
                return Err(Fault::at("format", Reason::InvalidEnumValue, message));
            }
        };
        match question {
            None => Err(Fault::at(
                "question",
                Reason::RequiredFieldMissing,
                "is observations, a share or a figure, as ListObservations, GetShare and Aggregate take it",
            )),
            Some(Asked::Observations(asked)) => self.export_observations(&request, asked, format).await,
            Some(Asked::Share(share)) => {
                let (whole, question) = self
                    .answered::<Share>(&request, share, |knowledge, query, _| {
                        let known = knowledge.at(query.plan.known_at)?;
                        let (on, period) = (day_of(&known, &query.plan), period_of(&query.plan));
                        Ok((query.indicator.to_string(), Question { on, period, ..Question::default() }))
                    })
                    .await
                    .map_err(|fault| below("share", fault))?;
                self.export(whole, question, format, Kind::Shares, Rows::Shares)
            }
            Some(Asked::Figure(figure)) => {
                let (whole, question) = self
                    .answered::<Aggregate>(&request, figure, |knowledge, query, request| {
                        let known = knowledge.at(query.plan.known_at)?;
                        let question = Question {
                            on: day_of(&known, &query.plan),
                            period: period_of(&query.plan),
                            measure: door::write_measure(query::measure(&known, query)?),
                            scope: request.scope(),
                            by: request.by.clone(),
                            denominator: request.denominator.clone(),
                            per: request.per.clone(),
                            ..Question::default()
                        };
                        Ok((request.indicator.clone(), question))
                    })
                    .await
                    .map_err(|fault| below("figure", fault))?;
                self.export(whole, question, format, Kind::Figures, Rows::Figures)
            }
        }
    }

    /// The whole answer to a question, and what its file says about it.
    async fn answered<F: Face>(
        &self,
        request: &Request<v1::ExportRequest>,
        question: F::Request,
        describe: impl FnOnce(&Knowledge<'_>, &F::Query, &F::Request) -> Result<(String, Question), Fault> + Send + 'static,
    ) -> Result<(Whole<F::Row>, (String, Question)), Fault> {
        let (query, _, at_least) = F::read(&question)?;
        let published = self.published(request, at_least).await?;
        let now = self.clock.now();
        off_thread(move || {
            let knowledge = Knowledge::newest(&published, now);
            let whole = cited::<F>(&knowledge, &question, &query)?;
            Ok((whole, describe(&knowledge, &query, &question)?))
        })
        .await
    }

    /// The rows of an answer as a file.
    fn export<R: Send + Sync + 'static>(
        &self,
        whole: Whole<R>,
        (indicator, question): (String, Question),
        format: Format,
        kind: Kind,
        wrap: fn(Vec<R>) -> Rows,
    ) -> Result<Pieces<v1::ExportResponse>, Fault> {
        let meta = door::write_meta(&whole.meta);
        let file = File::begin(format, kind, &Head { meta: &meta, indicator: &indicator, question })?;
        let mut rows = whole.rows.into_iter().map(|(_, row)| row);
        Ok(pieces(self.stop.clone(), self.slow_after, move |outlet| async move {
            let mut file = file;
            file.meta = Some(meta);
            loop {
                let some: Vec<R> = rows.by_ref().take(ROWS_PER_PUSH).collect();
                if some.is_empty() {
                    return file.end(&outlet).await;
                }
                file.put(wrap(some), &outlet).await?;
            }
        }))
    }

    /// What reports say as a file; it is read piece by piece, so that memory does not grow with it.
    async fn export_observations(
        &self,
        request: &Request<v1::ExportRequest>,
        asked: v1::ListObservationsRequest,
        format: Format,
    ) -> Result<Pieces<v1::ExportResponse>, Fault> {
        let in_field = |fault| below("observations", fault);
        let (query, _, at_least) = door::observations(&asked).map_err(in_field)?;
        let published = self.published(request, at_least).await?;
        let now = self.clock.now();
        // What cannot be asked is refused before the stream begins.
        let (first, published) = observations(published, query.clone(), String::new(), now).await.map_err(in_field)?;
        let (file, meta) = {
            let knowledge = Knowledge::newest(&published, now);
            let known = knowledge.at(query.known_at).map_err(in_field)?;
            let units = known.registry().indicators_after("");
            let units_of_measure = units.map(|i| (i.id.to_string(), i.unit_of_measure.clone())).collect();
            let meta = door::write_meta(&knowledge.meta(&known, None));
            let question = Question { units_of_measure, ..Question::default() };
            (File::begin(format, Kind::Observations, &Head { meta: &meta, indicator: "", question })?, meta)
        };
        Ok(pieces(self.stop.clone(), self.slow_after, move |outlet| async move {
            let mut file = file;
            file.meta = Some(meta);
            let (mut rows, mut published) = (first, published);
            while let Some(last) = rows.last() {
                let after = last.key.clone();
                file.put(Rows::Observations(rows.iter().map(door::observation_row).collect()), &outlet).await?;
                (rows, published) = observations(published, query.clone(), after, now).await?;
            }
            file.end(&outlet).await
        }))
    }
}

/// Some observations after that key, and the index that they are of.
async fn observations(
    published: Published,
    query: ObservationsQuery,
    after: String,
    now: Timestamp,
) -> Result<(Vec<shared::model::query::ObservationRow>, Published), Fault> {
    off_thread(move || {
        let known = Knowledge::newest(&published, now).at(query.known_at)?;
        let rows = query::observations::observations(&known, &query, &after, ROWS_PER_PUSH)?;
        drop(known);
        Ok((rows, published))
    })
    .await
}

/// The period that a question names, if it names one.
fn period_of(plan: &shared::model::query::Plan) -> String {
    match &plan.time {
        shared::model::query::Time::Period(period) => period.to_string(),
        shared::model::query::Time::On(_) | shared::model::query::Time::Series(_) => String::new(),
    }
}

/// The day counted, where there is one for all rows.
fn day_of(known: &crate::index::Known<'_>, plan: &shared::model::query::Plan) -> String {
    let day = match &plan.time {
        shared::model::query::Time::On(day) => Some(*day),
        shared::model::query::Time::Period(_) => query::day_counted(known, plan),
        shared::model::query::Time::Series(_) => None,
    };
    day.map(|day| day.to_string()).unwrap_or_default()
}

/// A file on its way.
struct File {
    writer: Writer,
    /// What the file rests on, until it was sent.
    meta: Option<v1::Meta>,
}

impl File {
    fn begin(format: Format, kind: Kind, head: &Head<'_>) -> Result<Self, Fault> {
        Ok(Self { writer: Writer::new(format, kind, head).map_err(failed)?, meta: None })
    }

    async fn put(&mut self, rows: Rows, outlet: &Outlet<v1::ExportResponse>) -> Result<(), Fault> {
        self.writer.push(rows).map_err(failed)?;
        let data = self.writer.take();
        let meta = self.meta.take();
        outlet.put(v1::ExportResponse { data, meta, row_count: None }, "").await
    }

    async fn end(self, outlet: &Outlet<v1::ExportResponse>) -> Result<(), Fault> {
        let row_count = Some(self.writer.row_count());
        let data = self.writer.finish().map_err(failed)?;
        outlet.put(v1::ExportResponse { data, meta: self.meta, row_count }, "").await
    }
}

fn failed(error: file::Error) -> Fault {
    tracing::error!(%error, "a file cannot be written");
    Fault::new(Reason::Internal, "the file cannot be written")
}
