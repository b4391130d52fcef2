//! Networks, services and checks.

use super::{accept, problems};
use crate::generate::changed;
use floe_model::validate::validate;
use serde_json::{Value, json};

#[test]
fn rules_of_networks() {
    let n = "group \"front\" -> network";
    let row = |pointer: &str, value: Value, want: String| assert_eq!(problems(&changed(&[(pointer, value)])), [want], "{pointer}");
    row("/TaskGroups/0/Networks/1", json!({}), "group \"front\": only one network is allowed (there are 2); put all ports into one".into());
    row(
        "/TaskGroups/0/Networks/0/Mode",
        json!("brigde"),
        format!("{n}: mode \"brigde\" is unknown; use one of: bridge, host, none, cni/<name>"),
    );
    row("/TaskGroups/0/Networks/0/Mode", json!("cni/"), format!("{n}: mode \"cni/\" names no configuration; write \"cni/<name>\""));
    row(
        "/TaskGroups/0/Networks/0/Hostname",
        json!("a_b"),
        format!("{n}: hostname \"a_b\" is not a host name (letters, digits, dashes and dots); rename it"),
    );
    row(
        "/TaskGroups/0/Networks/0/DNS",
        json!({"Servers": ["ns1"]}),
        format!("{n} -> dns: server \"ns1\" is not an IP address; write for example \"192.0.2.53\""),
    );
    row("/TaskGroups/0/Networks/0/DNS", json!({"Searches": ["a b"]}), format!("{n} -> dns: \"a b\" must be one word; split it"));
    row("/TaskGroups/0/Networks/0/ReservedPorts/0/Value", json!(0), format!("{n} -> port \"admin\": static must be at least 1 (it is 0)"));
    row(
        "/TaskGroups/0/Networks/0/ReservedPorts/0/Value",
        json!(65_536),
        format!("{n} -> port \"admin\": static must be at most 65535 (it is 65536)"),
    );
    row(
        "/TaskGroups/0/Networks/0/DynamicPorts/0/Value",
        json!(80),
        format!("{n} -> port \"http\": a dynamic port has no number (it is 80); set static instead"),
    );
    row(
        "/TaskGroups/0/Networks/0/DynamicPorts/0/To",
        json!(65_536),
        format!("{n} -> port \"http\": to must be at most 65535 (it is 65536)"),
    );
    row("/TaskGroups/0/Networks/0/DynamicPorts/0/To", json!(-2), format!("{n} -> port \"http\": to must be at least -1 (it is -2)"));
    row(
        "/TaskGroups/0/Networks/0/DynamicPorts/1",
        json!({"Label": "http"}),
        "group \"front\": port \"http\" is there more than once; give each another name".into(),
    );
    row(
        "/TaskGroups/0/Networks/0/ReservedPorts/1",
        json!({"Label": "b", "Value": 9000}),
        format!("{n} -> port \"b\": static port 9000 is also port \"admin\"; choose another"),
    );
    accept(&[
        ("/TaskGroups/0/Networks/0/ReservedPorts/0/Value", json!(1)),
        ("/TaskGroups/0/Networks/0/ReservedPorts/0", json!({"Label": "admin", "Value": 65_535, "To": -1})),
        ("/TaskGroups/0/Networks/0/ReservedPorts/1", json!({"Label": "b", "Value": 9000, "HostNetwork": "lan"})),
        ("/TaskGroups/0/Networks/0/ReservedPorts/1", json!({"Label": "b", "Value": 9000, "IgnoreCollision": true})),
        ("/TaskGroups/0/Networks/0/Hostname", json!("web-${NOMAD_ALLOC_INDEX}")),
        ("/TaskGroups/0/Networks/0/DNS", json!({"Servers": ["192.0.2.1", "::1"], "Searches": ["a.b"], "Options": ["ndots:2"]})),
    ]);
    let warnings = validate(&changed(&[("/TaskGroups/0/Networks/0/MBits", json!(10))])).unwrap();
    assert_eq!(warnings.0, ["group \"front\" -> network: mbits has no effect; remove it"]);
}

#[test]
fn rules_of_services() {
    let s = "group \"front\" -> service \"front\"";
    let row = |pointer: &str, value: Value, want: String| assert_eq!(problems(&changed(&[(pointer, value)])), [want], "{pointer}");
    row(
        "/TaskGroups/0/Services/0/Name",
        json!("a_b"),
        "group \"front\" -> service \"a_b\": name \"a_b\" must be letters, digits and inner dashes, at most 63 (it names a host in DNS); rename it".into(),
    );
    row(
        "/TaskGroups/0/Services/0/PortLabel",
        json!("htpp"),
        format!("{s}: port \"htpp\" is not a port of the group; did you mean \"http\"? add it to the group's network"),
    );
    row("/TaskGroups/0/Services/0/PortLabel", json!("0"), format!("{s}: port must be at least 1 (it is 0)"));
    row("/TaskGroups/0/Services/0/Provider", json!("etcd"), format!("{s}: provider \"etcd\" is unknown; use one of: nomad, consul"));
    row(
        "/TaskGroups/0/Services/0/AddressMode",
        json!("hots"),
        format!("{s}: address_mode \"hots\" is unknown; did you mean \"host\"? use one of: auto, alloc, alloc_ipv6, driver, host"),
    );
    row("/TaskGroups/0/Services/0/TaskName", json!("ghost"), format!("{s}: task \"ghost\" is not in the group; name one of its tasks"));
    row(
        "/TaskGroups/0/Services/0/OnUpdate",
        json!("wait"),
        format!("{s}: on_update \"wait\" is unknown; use one of: require_healthy, ignore_warnings, ignore"),
    );
    row("/TaskGroups/0/Services/0/Connect", json!({}), format!("{s}: connect needs provider \"consul\"; remove connect"));
    row(
        "/TaskGroups/0/Services/1",
        json!({"Name": "front", "PortLabel": "http"}),
        format!("{s}: it is there more than once with port \"http\"; rename or remove one"),
    );
    row(
        "/TaskGroups/0/Services/0/Checks",
        json!([{"Name": "c", "Type": "http", "Interval": "10s", "Timeout": "1s"}]),
        format!("{s} -> check \"c\": path is missing; write for example \"/health\""),
    );
    row(
        "/TaskGroups/0/Services/0/Checks",
        json!([{"Name": "c", "Type": "grpc", "Interval": "10s", "Timeout": "1s"}]),
        format!("{s} -> check \"c\": type \"grpc\" is unknown; use one of: http, tcp"),
    );
    row(
        "/TaskGroups/0/Services/0/Checks",
        json!([{"Name": "c", "Type": "tcp", "Interval": "10s", "Timeout": "999ms"}]),
        format!("{s} -> check \"c\": timeout must be at least 1s (it is 999ms)"),
    );
    let address =
        changed(&[("/TaskGroups/0/Services/0/Address", json!("192.0.2.1")), ("/TaskGroups/0/Services/0/AddressMode", json!("host"))]);
    assert_eq!(problems(&address), [format!("{s}: address \"192.0.2.1\" needs address_mode \"auto\" (it is \"host\"); remove one")]);
    accept(&[
        ("/TaskGroups/0/Services/0/Name", json!("a-${NOMAD_ALLOC_INDEX}")),
        ("/TaskGroups/0/Services/0/PortLabel", json!("65535")),
        ("/TaskGroups/0/Services/0/PortLabel", json!("")),
        ("/TaskGroups/0/Services/0/TaskName", json!("server")),
        ("/TaskGroups/0/Services/1", json!({"Name": "front", "PortLabel": "admin"})),
        ("/TaskGroups/0/Services/0/Checks", json!([{"Type": "tcp", "Interval": "1s", "Timeout": "1s"}])),
        ("/TaskGroups/0/Tasks/0/Services", json!([{"PortLabel": "http", "TaskName": "server"}])),
    ]);
}

#[test]
fn rules_of_checks_depend_on_the_provider() {
    let at = "group \"front\" -> service \"front\" -> check \"c\"";
    let check = |provider: &str, port: &str, mut check: Value| {
        for (key, value) in [("Name", json!("c")), ("Interval", json!("10s")), ("Timeout", json!("1s"))] {
            check[key] = value;
        }
        problems(&changed(&[
            ("/TaskGroups/0/Services/0/Provider", json!(provider)),
            ("/TaskGroups/0/Services/0/PortLabel", json!(port)),
            ("/TaskGroups/0/Services/0/Checks", json!([check])),
        ]))
    };
    let none: [String; 0] = [];
    assert_eq!(check("consul", "", json!({"Type": "script", "Command": "/bin/true"})), none);
    assert_eq!(check("consul", "http", json!({"Type": "grpc"})), none);
    assert_eq!(check("consul", "http", json!({"Type": "script"})), [format!("{at}: command is missing; name what is run")]);
    assert_eq!(check("nomad", "", json!({"Type": "tcp"})), [format!("{at}: port is missing; set it here or in the service")]);
    assert_eq!(check("nomad", "", json!({"Type": "tcp", "PortLabel": "http"})), none);
    assert_eq!(check("nomad", "http", json!({})), [format!("{at}: type is missing; set it to \"http\" or \"tcp\"")]);
    let limit = json!({"Type": "tcp", "CheckRestart": {"Limit": -1}});
    assert_eq!(check("nomad", "http", limit), [format!("{at}: check_restart limit must be at least 0 (it is -1)")]);
}
