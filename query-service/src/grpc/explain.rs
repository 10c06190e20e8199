//! Explain: one row, report by report.

use proto::v1::{self, explain_request::Question, explain_response};
use shared::{
    admit::off_thread,
    convert::query as door,
    model::{
        fault::{Fault, Reason},
        query::{Outcome, plain},
    },
};
use tonic::Request;

use super::{
    QueryHandlers,
    face::{Aggregate, Face, Share, indicators, plan_meta},
    knowledge::Knowledge,
    pieces::{Pieces, pieces},
};
use crate::query;

impl QueryHandlers {
    pub(super) async fn explained(
        &self,
        request: Request<v1::ExplainRequest>,
    ) -> Result<Pieces<v1::ExplainResponse>, Fault> {
        let v1::ExplainRequest { question, row } = request.get_ref().clone();
        let question = question.ok_or_else(|| {
            Fault::at(
                "question",
                Reason::RequiredFieldMissing,
                "is a share or a figure, as GetShare and Aggregate take it",
            )
        })?;
        let at_least = match &question {
            Question::Share(share) => Share::read(share).map_err(|fault| below("share", fault))?.2,
            Question::Figure(figure) => Aggregate::read(figure).map_err(|fault| below("figure", fault))?.2,
        };
        let published = self.published(&request, at_least).await?;
        let now = self.clock.now();
        let answer = off_thread(move || {
            let knowledge = Knowledge::newest(&published, now);
            match &question {
                Question::Share(share) => {
                    let (query, ..) = Share::read(share)?;
                    let known = knowledge.at(query.plan.known_at).map_err(|fault| below("share", fault))?;
                    let explanation =
                        query::explain::share(&known, &query, &row).map_err(|fault| below("share", fault))?;
                    let meta = plan_meta(&knowledge, &known, &query.plan, [&query.indicator]);
                    Ok(written(explanation, &meta))
                }
                Question::Figure(figure) => {
                    let (query, ..) = Aggregate::read(figure)?;
                    let known = knowledge.at(query.plan.known_at).map_err(|fault| below("figure", fault))?;
                    let explanation =
                        query::explain::figure(&known, &query, &row).map_err(|fault| below("figure", fault))?;
                    let meta = plan_meta(&knowledge, &known, &query.plan, indicators(&query));
                    Ok(written(explanation, &meta))
                }
            }
        })
        .await?;
        Ok(pieces(self.stop.clone(), self.slow_after, |outlet| async move {
            for piece in answer {
                outlet.put(v1::ExplainResponse { piece: Some(piece) }, "").await?;
            }
            Ok(())
        }))
    }
}

/// A fault of a question, with paths that begin with the field that holds it.
pub(super) fn below(field: &str, mut fault: Fault) -> Fault {
    for violation in &mut fault.violations {
        if violation.path != "row" && !violation.path.starts_with(&format!("{field}.")) {
            violation.path = format!("{field}.{}", violation.path);
        }
    }
    fault
}

fn written(
    explanation: query::explain::Explanation,
    meta: &shared::model::query::Meta,
) -> Vec<explain_response::Piece> {
    let mut checksum = blake3::Hasher::new();
    let mut pieces = Vec::with_capacity(explanation.contributions.len() + 1);
    for contribution in &explanation.contributions {
        let contribution = door::contribution(contribution);
        let v1::Contribution { unit, report, revision, observation_index, verdict, weight, denominator_weight, .. } =
            &contribution;
        let line =
            format!("{unit}\t{report}\t{revision}\t{observation_index}\t{verdict}\t{weight}\t{denominator_weight}\n");
        checksum.update(line.as_bytes());
        pieces.push(explain_response::Piece::Contribution(contribution));
    }
    let result = match &explanation.row {
        Outcome::Share(row) => explain_response::end::Result::Share(door::share_row(row)),
        Outcome::Figure(row) => explain_response::end::Result::Figure(door::figure(row)),
    };
    pieces.push(explain_response::Piece::End(explain_response::End {
        result: Some(result),
        weight: plain(&explanation.weight),
        denominator_weight: explanation.denominator_weight.as_ref().map(plain).unwrap_or_default(),
        contributions: i32::try_from(explanation.contributions.len()).unwrap_or(i32::MAX),
        checksum: checksum.finalize().to_hex().to_string(),
        meta: Some(door::write_meta(meta)),
    }));
    pieces
}
