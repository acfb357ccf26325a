//! The kept inputs of this room's fuzz targets, replayed. `fuzz/README.md` says how they come about.
#![allow(clippy::expect_used, reason = "a test that cannot read its inputs has failed")]

#[path = "../../../fuzz/properties/conversion.rs"]
mod conversion;
#[path = "../../../fuzz/properties/cuts.rs"]
mod cuts;
#[path = "../../../fuzz/properties/replay.rs"]
mod replay;

use a6_protocols::Conversion;

#[test]
fn anthropics_clients_and_openais_providers_understand_each_other() {
    replay::replay("messages_to_chat", |input| conversion::property(Conversion::MessagesToChat, input));
}

#[test]
fn openais_clients_and_anthropic_understand_each_other() {
    replay::replay("chat_to_messages", |input| conversion::property(Conversion::ChatToMessages, input));
}

#[test]
fn openais_clients_and_bedrock_understand_each_other() {
    replay::replay("chat_to_converse", |input| conversion::property(Conversion::ChatToConverse, input));
}

#[test]
fn openais_clients_and_vertex_ai_understand_each_other() {
    replay::replay("embeddings_to_predict", |input| {
        conversion::property(Conversion::EmbeddingsToPredict, input)
    });
}
