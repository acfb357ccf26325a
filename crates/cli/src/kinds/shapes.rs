//! In which order the fields of each kind print.

use super::Shape;

pub(super) static ROUTE: Shape = Shape {
    fields: &[
        "id",
        "uri",
        "uris",
        "name",
        "desc",
        "methods",
        "host",
        "hosts",
        "remote_addr",
        "remote_addrs",
        "priority",
        "status",
        "plugins",
        "upstream",
        "upstream_id",
        "service_id",
        "plugin_config_id",
        "labels",
        "timeout",
        "enable_websocket",
        "create_time",
        "update_time",
    ],
    nested: &[("upstream", &INLINE_UPSTREAM), ("timeout", &TIMEOUT)],
};

pub(super) static SERVICE: Shape = Shape {
    fields: &[
        "id",
        "name",
        "desc",
        "plugins",
        "upstream",
        "upstream_id",
        "labels",
        "enable_websocket",
        "hosts",
        "status",
        "create_time",
        "update_time",
    ],
    nested: &[("upstream", &INLINE_UPSTREAM)],
};

pub(super) static UPSTREAM: Shape = Shape {
    fields: &[
        "id",
        "name",
        "desc",
        "type",
        "nodes",
        "service_name",
        "discovery_type",
        "hash_on",
        "key",
        "checks",
        "retries",
        "retry_timeout",
        "timeout",
        "pass_host",
        "upstream_host",
        "scheme",
        "labels",
        "keepalive_pool",
        "tls",
        "status",
        "create_time",
        "update_time",
    ],
    nested: &[],
};

pub(super) static CONSUMER: Shape = Shape {
    fields: &["username", "desc", "plugins", "group_id", "labels", "create_time", "update_time"],
    nested: &[],
};

pub(super) static CREDENTIAL: Shape =
    Shape { fields: &["id", "desc", "plugins", "labels", "create_time", "update_time"], nested: &[] };

/// Consumer groups and plugin configs.
pub(super) static PLUGIN_SET: Shape =
    Shape { fields: &["id", "name", "desc", "plugins", "labels", "create_time", "update_time"], nested: &[] };

pub(super) static GLOBAL_RULE: Shape =
    Shape { fields: &["id", "plugins", "create_time", "update_time"], nested: &[] };

pub(super) static SSL: Shape = Shape {
    fields: &[
        "id",
        "cert",
        "key",
        "certs",
        "keys",
        "sni",
        "snis",
        "client",
        "type",
        "status",
        "ssl_protocols",
        "labels",
        "create_time",
        "update_time",
    ],
    nested: &[("client", &SSL_CLIENT)],
};

pub(super) static STREAM_ROUTE: Shape = Shape {
    fields: &[
        "id",
        "name",
        "desc",
        "remote_addr",
        "server_addr",
        "server_port",
        "sni",
        "upstream",
        "upstream_id",
        "service_id",
        "plugins",
        "protocol",
        "labels",
        "create_time",
        "update_time",
    ],
    nested: &[("upstream", &INLINE_UPSTREAM)],
};

pub(super) static PROTO: Shape =
    Shape { fields: &["id", "content", "name", "desc", "labels", "create_time", "update_time"], nested: &[] };

pub(super) static SECRET: Shape = Shape {
    fields: &[
        "id",
        "uri",
        "prefix",
        "token",
        "namespace",
        "access_key_id",
        "secret_access_key",
        "region",
        "endpoint_url",
        "auth_config",
        "auth_file",
        "create_time",
        "update_time",
    ],
    nested: &[],
};

/// A free mapping: all of it sorted.
pub(super) static FREE: Shape = Shape { fields: &[], nested: &[] };

static INLINE_UPSTREAM: Shape =
    Shape { fields: &["type", "nodes", "scheme", "retries", "timeout"], nested: &[("timeout", &TIMEOUT)] };

static TIMEOUT: Shape = Shape { fields: &["connect", "send", "read"], nested: &[] };

static SSL_CLIENT: Shape = Shape { fields: &["ca", "depth"], nested: &[] };
