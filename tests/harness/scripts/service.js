// A small web service with the stock OpenTelemetry SDK of Node, exporting to the default address.
// GET /work calls NEXT, if that is set, and answers; ?fail=1 answers 500, ?slow=MS waits.
'use strict';
const { NodeSDK } = require('@opentelemetry/sdk-node');
const { HttpInstrumentation } = require('@opentelemetry/instrumentation-http');
const sdk = new NodeSDK({ instrumentations: [new HttpInstrumentation()] });
sdk.start();
const { trace } = require('@opentelemetry/api');
const http = require('http');

const call = (url) =>
  new Promise((done, failed) => {
    const request = http.get(url, (answer) => {
      answer.resume();
      answer.on('end', () => (answer.statusCode < 400 ? done() : failed(new Error(`${url}: ${answer.statusCode}`))));
    });
    request.on('error', failed);
  });

const server = http.createServer(async (request, answer) => {
  const url = new URL(request.url, 'http://localhost');
  try {
    const slow = Number(url.searchParams.get('slow') || 0);
    if (slow) await new Promise((done) => setTimeout(done, slow));
    if (url.pathname === '/work' && process.env.NEXT) await call(process.env.NEXT);
    answer.statusCode = url.searchParams.get('fail') ? 500 : 200;
  } catch (error) {
    answer.statusCode = 502;
  }
  const span = trace.getActiveSpan();
  answer.end(span ? span.spanContext().traceId : '');
});
server.listen(Number(process.env.PORT), '127.0.0.1', () => console.log('ready'));
process.on('SIGTERM', () => sdk.shutdown().finally(() => process.exit(0)));
