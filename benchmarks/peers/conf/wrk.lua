-- The closed-loop works of `peers`. wrk -s wrk.lua URL -- small | fresh | closing | file-100k | file-10m | upload
--   small:    the same chat completion again and again
--   fresh:    each with an X-Request-ID and a W3C traceparent of its own
--   closing:  as small, but each on a connection of its own
wrk.method = "POST"
wrk.path = "/v1/chat/completions"
wrk.headers["User-Agent"] = "python-httpx/0.28.1"
wrk.headers["Accept"] = "*/*"
wrk.headers["Accept-Encoding"] = "gzip, deflate"
wrk.headers["Connection"] = "keep-alive"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"model":"fraud","messages":[{"role":"user","content":"Score 0.12, 1.5, -0.25, 3.75, 0.5, -1.125 for me."}],"max_tokens":16,"stream":false}'

local count = 0
local before, between, after

local function fresh_request()
    count = count + 1
    local number = string.format("%016x", count)
    return before .. number .. between .. number .. "-" .. number .. after
end

local function get(path)
    wrk.method = "GET"
    wrk.path = path
    wrk.body = nil
    wrk.headers["Content-Type"] = nil
end

function init(args)
    local work = args[1]
    if work == "fresh" then
        math.randomseed(os.time())
        local run = string.format("%08x%08x", math.random(1, 2147483647), math.random(1, 2147483647))
        before = "POST " .. wrk.path .. " HTTP/1.1\r\nHost: " .. wrk.host .. ":" .. wrk.port ..
            "\r\nUser-Agent: python-httpx/0.28.1\r\nAccept: */*\r\nAccept-Encoding: gzip, deflate" ..
            "\r\nConnection: keep-alive\r\nContent-Type: application/json\r\nContent-Length: " .. #wrk.body ..
            "\r\nX-Request-ID: " .. run
        between = "\r\ntraceparent: 00-" .. run
        after = "-01\r\n\r\n" .. wrk.body
        request = fresh_request
        return
    elseif work == "closing" then
        wrk.headers["Connection"] = "close"
    elseif work == "file-100k" or work == "file-10m" then
        get("/files/" .. work)
        wrk.headers["Accept-Encoding"] = nil
    elseif work == "upload" then
        wrk.path = "/upload"
        wrk.headers["Content-Type"] = "application/octet-stream"
        wrk.body = string.rep("0123456789abcdef", 62500)
    elseif work ~= "small" then
        error("say which work")
    end
    -- One string, formatted once: wrk's default request().
    local whole = wrk.format()
    request = function() return whole end
end

function done(summary, latency)
    io.write(string.format(
        '\nRESULT {"requests":%d,"duration_us":%d,"bytes":%d,"connect":%d,"read":%d,"write":%d,' ..
        '"status":%d,"timeout":%d,"p50_us":%d,"p99_us":%d}\n',
        summary.requests, summary.duration, summary.bytes, summary.errors.connect, summary.errors.read,
        summary.errors.write, summary.errors.status, summary.errors.timeout,
        latency:percentile(50), latency:percentile(99)))
end
