use std::rc::Rc;

use a6_snapshot::{ClientBody, Plugin};
use http::{Request, Response};

use crate::body::AnswerBody;
use crate::settle::Refused;
use crate::wire::Link;
use crate::worker::Worker;
use crate::{access, answer, attempt, read, render, route};

/// The whole road: from a request's head to the answer's head. The rest of the road is inside the answer's body.
pub(crate) async fn travel<P: Plugin>(
    worker: Rc<Worker<P>>,
    link: Rc<Link>,
    request: Request<ClientBody>,
) -> Response<AnswerBody<P>> {
    match stages(worker, link, request).await {
        Ok(response) => response,
        Err(mut refused) => {
            // Boxed, since it is rare and every connection keeps a future like this.
            Box::pin(render::let_client_read(&mut refused.settlement)).await;
            render::refused(refused).await
        }
    }
}

async fn stages<P: Plugin>(
    worker: Rc<Worker<P>>,
    link: Rc<Link>,
    request: Request<ClientBody>,
) -> Result<Response<AnswerBody<P>>, Refused<P>> {
    let received = read::receive(worker, link, request)?;
    let matched = route::find(received).await?;
    let admitted = access::admit(matched).await?;
    let answering = attempt::attempt(admitted).await?;
    Ok(answer::answer(answering))
}
