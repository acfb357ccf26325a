use a6_snapshot::{Explain, Question};
use http::StatusCode;
use serde_json::Value;

use crate::answer::Answer;

/// What the gateway would do with the request that the body describes.
pub(crate) fn explain(explain: &dyn Explain, body: Option<&Value>) -> Result<Answer, Answer> {
    let question = body.ok_or_else(|| Answer::refused("the question is missing; describe a request"))?;
    let question = Question::read(question).map_err(Answer::refused)?;
    Ok(Answer::json(StatusCode::OK, &explain.explain(question)))
}
