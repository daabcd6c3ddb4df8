-- A small inference request with the head that httpx sends. wrk -s post.lua URL -- repeating | fresh
--   repeating: the same bytes again and again; the proxy creates the X-Request-ID
--   fresh:     every request with an X-Request-ID and a W3C traceparent of its own, as behind a tracing gateway
wrk.method = "POST"
wrk.path = "/v2/models/fraud/infer"
wrk.headers["User-Agent"] = "python-httpx/0.28.1"
wrk.headers["Accept"] = "*/*"
wrk.headers["Accept-Encoding"] = "gzip, deflate"
wrk.headers["Connection"] = "keep-alive"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"id":"a5f1","inputs":[{"name":"features","shape":[1,8],"datatype":"FP32","data":[0.12,1.5,-0.25,3.75,0.5,-1.125,2.25,0.875]}],"top":[1,22]}'

local count = 0
local before, between, after

local function fresh_request()
    count = count + 1
    local number = string.format("%016x", count)
    return before .. number .. between .. number .. "-" .. number .. after
end

function init(args)
    if args[1] == "fresh" then
        -- Different in every run; wrk runs one thread.
        math.randomseed(os.time())
        local run = string.format("%08x%08x", math.random(1, 2147483647), math.random(1, 2147483647))
        before = "POST " .. wrk.path .. " HTTP/1.1\r\nHost: " .. wrk.host .. ":" .. wrk.port ..
            "\r\nUser-Agent: python-httpx/0.28.1\r\nAccept: */*\r\nAccept-Encoding: gzip, deflate" ..
            "\r\nConnection: keep-alive\r\nContent-Type: application/json\r\nContent-Length: " .. #wrk.body ..
            "\r\nX-Request-ID: " .. run
        between = "\r\ntraceparent: 00-" .. run
        after = "-01\r\n\r\n" .. wrk.body
        request = fresh_request
    elseif args[1] ~= "repeating" then
        error("say which heads: -- repeating or -- fresh")
    end
end

function done(summary, latency)
    io.write(string.format(
        '\nRESULT {"requests":%d,"duration_us":%d,"bytes":%d,"connect":%d,"read":%d,"write":%d,' ..
        '"status":%d,"timeout":%d,"p50_us":%d,"p99_us":%d}\n',
        summary.requests, summary.duration, summary.bytes, summary.errors.connect, summary.errors.read,
        summary.errors.write, summary.errors.status, summary.errors.timeout,
        latency:percentile(50), latency:percentile(99)))
end
