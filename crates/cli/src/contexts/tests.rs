use std::os::unix::fs::PermissionsExt;

use super::*;

const FILE: &str = "current-context: dev\ncontexts:\n    - name: dev\n      server: http://dev\n      \
                    api-key: dk\n    - name: bare\n      server: http://bare\n";

#[test]
fn the_file_is_where_the_environment_says() {
    let cases: [(&[(&str, &str)], &str); 5] = [
        (&[("A6_CONFIG_DIR", "/c"), ("XDG_CONFIG_HOME", "/x"), ("HOME", "/h")], "/c/config.yaml"),
        (&[("XDG_CONFIG_HOME", "/x"), ("HOME", "/h")], "/x/a6/config.yaml"),
        (&[("A6_CONFIG_DIR", ""), ("HOME", "/h")], "/h/.config/a6/config.yaml"),
        (&[("HOME", "/h")], "/h/.config/a6/config.yaml"),
        (&[], "./.config/a6/config.yaml"),
    ];
    for (variables, expected) in cases {
        let env = |name: &str| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        assert_eq!(path(&env), Path::new(expected), "{variables:?}");
    }
}

#[test]
fn server_and_key_follow_the_precedence() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("config.yaml"), FILE).unwrap();
    let missing_key = Err("no API key configured; use 'a6 context create' or set A6_API_KEY".to_owned());
    let missing_context = Err("context \"no\" not found\nhint: `a6 context list` shows the names".to_owned());
    let pair = |server: &str, key: &str| Ok((server.to_owned(), key.to_owned()));
    // context, server and key as flags; server and key in the environment
    let cases = [
        (["", "", ""], ["", ""], pair("http://dev", "dk")),
        (["", "", ""], ["http://env", ""], pair("http://env", "dk")),
        (["", "http://flag", ""], ["http://env", "ek"], pair("http://flag", "ek")),
        (["", "http://flag", "fk"], ["http://env", "ek"], pair("http://flag", "fk")),
        (["dev", "", ""], ["http://env", "ek"], pair("http://dev", "dk")),
        (["bare", "", ""], ["http://env", "ek"], pair("http://bare", "ek")),
        (["bare", "", ""], ["", ""], missing_key),
        (["no", "http://flag", "fk"], ["", ""], missing_context),
    ];
    for ([context, server, key], [env_server, env_key], expected) in cases {
        let flags = GlobalFlags {
            context: Some(context.to_owned()),
            server: Some(server.to_owned()),
            api_key: Some(key.to_owned()),
            ..GlobalFlags::default()
        };
        let env = |name: &str| match name {
            "A6_CONFIG_DIR" => Some(folder.path().display().to_string()),
            "A6_SERVER" => Some(env_server.to_owned()),
            "A6_API_KEY" => Some(env_key.to_owned()),
            _ => None,
        };
        let found = target(&flags, &env).map(|target| (target.server, target.api_key));
        assert_eq!(found.map_err(|failure| failure.to_string()), expected, "{flags:?} {env_server:?}");
    }
}

#[test]
fn the_first_gateway_is_registered_and_no_second_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("new/config.yaml");
    assert!(register_at(&file, "local", "http://127.0.0.1:9180", "k").unwrap());
    assert_eq!(
        fs::read_to_string(&file).unwrap(),
        "current-context: local\ncontexts:\n    - name: local\n      server: http://127.0.0.1:9180\n      \
         api-key: k\n"
    );
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!register_at(&file, "other", "http://127.0.0.1:9181", "k2").unwrap());
    let contexts = Contexts::load(&file).unwrap();
    assert_eq!(contexts.contexts.len(), 1);
    assert!(contexts.find("local").is_some());
    // The file, and the lock beside it: no half-written ones.
    assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 2);
}

#[test]
fn files_by_hand_are_read_leniently_and_broken_ones_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yaml");
    for text in ["", "# nothing yet\ncontexts:\n", "current-context:\ncontexts: []\nextra: 1\n"] {
        fs::write(&file, text).unwrap();
        let contexts = Contexts::load(&file).map_err(|failure| failure.to_string());
        assert_eq!(contexts.map(|contexts| contexts.contexts.len()), Ok(0), "{text:?}");
    }
    fs::write(&file, "contexts: [\n").unwrap();
    let failure = Contexts::load(&file).err().unwrap().to_string();
    assert!(failure.starts_with("failed to parse config file: "), "{failure}");
}
