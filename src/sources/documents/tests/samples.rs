//! Samples: answers of Prometheus, and the text formats.

use expect_test::expect;

use super::super::*;
use super::check;

#[test]
fn answers_of_prometheus_are_samples() {
    check(
        Document::Prometheus,
        r#"{"status":"success","data":{"resultType":"matrix","result":[
  {"metric":{"__name__":"up","job":"prometheus","instance":"localhost:9090"},
   "values":[[1435781430.781,"1"],[ 1435781445.781 , "0"]]},
  {"metric":{"instance":"x\"y"},"values":[[1435781430,"NaN"],[1435781431,"+Inf"],[1435781432,"1e+06"]],
   "histograms":[[1435781433,{"count":"5","sum":"2.5","buckets":[[0,"0.1","0.2","5"]]}]]}
]}}
{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1435781451.781,"2"]}]}}
{"status":"success","data":{"resultType":"scalar","result":[ 1435781451.781,"3"]}}
{"status":"success","data":{"resultType":"string","result":[1435781451.781,"text"]}}
{"status":"success","data":{"resultType":"vector","result":[]},"warnings":["w"]}
{"status":"error","errorType":"bad_data","error":"invalid parameter \"query\""}
{"status":"success","data":["up"]}
{"status":"success","data":{"resultType":"matrix","result":[{"values":[[1,"1"]]},{"metric":{},"values":[[1],["x","1"],[1e300,"1"],[1,2],7]}]}}
{}
 {"status":"success","data":null}
"#,
        &expect![[r#"
            3 14 1 {"time":"2015-07-01T20:10:30.781Z","name":"up","labels":{"job":"prometheus","instance":"localhost:9090"},"series":"up{instance=\"localhost:9090\",job=\"prometheus\"}","value":1}
            3 35 2 {"time":"2015-07-01T20:10:45.781Z","name":"up","labels":{"job":"prometheus","instance":"localhost:9090"},"series":"up{instance=\"localhost:9090\",job=\"prometheus\"}","value":0}
            4 43 1 {"time":"2015-07-01T20:10:30.000Z","labels":{"instance":"x\"y"},"series":"{instance=\"x\\\"y\"}","value":"NaN"}
            4 62 2 {"time":"2015-07-01T20:10:31.000Z","labels":{"instance":"x\"y"},"series":"{instance=\"x\\\"y\"}","value":"+Inf"}
            4 82 3 {"time":"2015-07-01T20:10:32.000Z","labels":{"instance":"x\"y"},"series":"{instance=\"x\\\"y\"}","value":1e+06}
            5 18 1 {"time":"2015-07-01T20:10:33.000Z","labels":{"instance":"x\"y"},"series":"{instance=\"x\\\"y\"}","histogram":{"count":"5","sum":"2.5","buckets":[[0,"0.1","0.2","5"]]}}
            7 82 1 {"time":"2015-07-01T20:10:51.781Z","labels":{},"series":"","value":2}
            8 60 1 {"time":"2015-07-01T20:10:51.781Z","value":3}
            9 60 1 {"time":"2015-07-01T20:10:51.781Z","value":"text"}
            11 1 1 !"Prometheus answered with an error: bad_data: invalid parameter \"query\"" "{\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"invalid parameter \\\"query\\\"\"}"
            12 28 1 !"expected an object" "[\"up\"]"
            13 72 1 !"`metric` is missing" "[1,\"1\"]"
            13 105 2 !"expected a time in seconds and a value in quotes" "[1]"
            13 109 3 !"expected a time in seconds and a value in quotes" "[\"x\",\"1\"]"
            13 119 4 !"the time is outside of the years 1678 to 2261" "[1e300,\"1\"]"
            13 131 5 !"expected a time in seconds and a value in quotes" "[1,2]"
            13 137 6 !"invalid type: integer `7`, expected a sequence" "7"
            14 1 1 !"no answer to a query: `data` is missing" "{}"
            15 2 1 !"no answer to a query: `data` is missing" "{\"status\":\"success\"}"
        "#]],
    );
}

#[test]
fn openmetrics_is_samples() {
    // From the specification, and what it says of escapes, exemplars and metadata.
    check(
        Document::OpenMetrics,
        "# TYPE acme_http_router_request_seconds summary
# UNIT acme_http_router_request_seconds seconds
# HELP acme_http_router_request_seconds Latency though all of ACME's HTTP request router.
acme_http_router_request_seconds_sum{path=\"/api/v1\",method=\"GET\"} 9036.32 1395066363.5
acme_http_router_request_seconds_count{path=\"/api/v1\",method=\"GET\"} 807283.0 1395066363
# TYPE go_goroutines gauge
go_goroutines 69 1.395066363e9
process_cpu_seconds_total 4.20072246e+06 1395066363 # {trace_id=\"KOO5S4vxi0o\",l=\"\"} 0.67 1395066360.25
# TYPE foo histogram
foo_bucket{le=\"+Inf\"} 17 1520879607.789 # {} 9.8
foo{a=\"\\\\ \\\" \\n\",} NaN 0
foo -Inf -1
{\"my.metric\",\"a.b\"=\"c\"} .5 2
# EOF
foo 1
foo 1 x
foo{a=1} 1 1
foo{a=\"b} 1 1
foo{a=\"b\",a=\"c\"} 1 1
foo{a=\"\\t\"} 1 1
foo one 1
1foo 1 1
foo 1 1 1
foo 1 9999999999999
{a=\"b\"} 1 1
foo 1 1 # x
",
        &expect![[r#"
            4 1 0 {"time":"2014-03-17T14:26:03.500Z","value":9036.32,"name":"acme_http_router_request_seconds_sum","labels":{"path":"/api/v1","method":"GET"},"series":"acme_http_router_request_seconds_sum{method=\"GET\",path=\"/api/v1\"}","type":"summary","unit":"seconds"}
            5 1 0 {"time":"2014-03-17T14:26:03.000Z","value":807283.0,"name":"acme_http_router_request_seconds_count","labels":{"path":"/api/v1","method":"GET"},"series":"acme_http_router_request_seconds_count{method=\"GET\",path=\"/api/v1\"}","type":"summary","unit":"seconds"}
            7 1 0 {"time":"2014-03-17T14:26:03.000Z","value":69,"name":"go_goroutines","labels":{},"series":"go_goroutines","type":"gauge"}
            8 1 0 {"time":"2014-03-17T14:26:03.000Z","value":4.20072246e+06,"name":"process_cpu_seconds_total","labels":{},"series":"process_cpu_seconds_total","exemplar":{"labels":{"trace_id":"KOO5S4vxi0o","l":""},"value":0.67,"time":"2014-03-17T14:26:00.250Z"}}
            10 1 0 {"time":"2018-03-12T18:33:27.789Z","value":17,"name":"foo_bucket","labels":{"le":"+Inf"},"series":"foo_bucket{le=\"+Inf\"}","type":"histogram","exemplar":{"labels":{},"value":9.8}}
            11 1 0 {"time":"1970-01-01T00:00:00.000Z","value":"NaN","name":"foo","labels":{"a":"\\ \" \n"},"series":"foo{a=\"\\\\ \\\" \\n\"}","type":"histogram"}
            12 1 0 {"time":"1969-12-31T23:59:59.000Z","value":"-Inf","name":"foo","labels":{},"series":"foo","type":"histogram"}
            13 1 0 {"time":"1970-01-01T00:00:02.000Z","value":0.5,"name":"my.metric","labels":{"a.b":"c"},"series":"{\"my.metric\",\"a.b\"=\"c\"}"}
            15 6 0 !"no timestamp: it does not say when it was sampled" "foo 1"
            16 7 0 !"expected a timestamp in seconds since 1970" "foo 1 x"
            17 7 0 !"expected a value in quotes" "foo{a=1} 1 1"
            18 7 0 !"the quote is not closed" "foo{a=\"b} 1 1"
            19 11 0 !"the label `a` stands twice" "foo{a=\"b\",a=\"c\"} 1 1"
            20 1 0 {"time":"1970-01-01T00:00:01.000Z","value":1,"name":"foo","labels":{"a":"\\t"},"series":"foo{a=\"\\\\t\"}"}
            21 5 0 !"expected a value: a number, +Inf, -Inf or NaN" "foo one 1"
            22 1 0 !"expected the name of a metric" "1foo 1 1"
            23 9 0 !"expected the end of the line" "foo 1 1 1"
            24 7 0 !"the timestamp, in seconds, is outside of the years 1678 to 2261" "foo 1 9999999999999"
            25 1 0 !"expected the name of a metric" "{a=\"b\"} 1 1"
            26 11 0 !"expected the labels of an exemplar" "foo 1 1 # x"
        "#]],
    );
}

#[test]
fn the_text_format_of_prometheus_is_samples() {
    // From its documentation.
    check(
        Document::Exposition,
        "# HELP http_requests_total The total number of HTTP requests.
# TYPE http_requests_total counter
http_requests_total{method=\"post\",code=\"200\"} 1027 1395066363000
http_requests_total{method=\"post\",code=\"400\"}    3 1395066363000

# Escaping in label values:
msdos_file_access_time_seconds{path=\"C:\\\\DIR\\\\FILE.TXT\",error=\"Cannot find file:\\n\\\"FILE.TXT\\\"\"} 1.458255915e9 1395066363001

# Minimalistic line:
metric_without_timestamp_and_labels 12.47

# A weird metric from before the epoch:
something_weird{problem=\"division by zero\"} +Inf -3982045
\tindented { a = \"b\" , } 1\t2\r
seconds 1 1395066363.5
exemplar 1 2 # {} 3",
        &expect![[r#"
            3 1 0 {"time":"2014-03-17T14:26:03.000Z","value":1027,"name":"http_requests_total","labels":{"method":"post","code":"200"},"series":"http_requests_total{code=\"200\",method=\"post\"}","type":"counter"}
            4 1 0 {"time":"2014-03-17T14:26:03.000Z","value":3,"name":"http_requests_total","labels":{"method":"post","code":"400"},"series":"http_requests_total{code=\"400\",method=\"post\"}","type":"counter"}
            7 1 0 {"time":"2014-03-17T14:26:03.001Z","value":1.458255915e9,"name":"msdos_file_access_time_seconds","labels":{"path":"C:\\DIR\\FILE.TXT","error":"Cannot find file:\n\"FILE.TXT\""},"series":"msdos_file_access_time_seconds{error=\"Cannot find file:\\n\\\"FILE.TXT\\\"\",path=\"C:\\\\DIR\\\\FILE.TXT\"}"}
            10 42 0 !"no timestamp: it does not say when it was sampled" "metric_without_timestamp_and_labels 12.47"
            13 1 0 {"time":"1969-12-31T22:53:37.955Z","value":"+Inf","name":"something_weird","labels":{"problem":"division by zero"},"series":"something_weird{problem=\"division by zero\"}"}
            14 1 0 {"time":"1970-01-01T00:00:00.002Z","value":1,"name":"indented","labels":{"a":"b"},"series":"indented{a=\"b\"}"}
            15 11 0 !"expected a timestamp in whole milliseconds since 1970" "seconds 1 1395066363.5"
            16 14 0 !"expected the end of the line" "exemplar 1 2 # {} 3"
        "#]],
    );
}
