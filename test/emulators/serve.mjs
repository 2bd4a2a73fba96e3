// Starts the emulators on free ports of the loopback interface and prints what to export. They end with standard input,
// and so with whoever started them.
import { once } from "node:events";
import dynalite from "dynalite";
import { buildApp } from "fauxqs";

const host = "127.0.0.1";

const dynamo = dynalite({ createTableMs: 0, deleteTableMs: 0, updateTableMs: 0 });
dynamo.listen(0, host);
await once(dynamo, "listening");

// Its own way to start listens on all interfaces.
const sqs = buildApp({ logger: false });
const sqsURL = await sqs.listen({ port: 0, host });

console.log(`PILLARBOX_TEST_SQS_URL=${sqsURL}`);
console.log(`PILLARBOX_TEST_DYNAMODB_URL=http://${host}:${dynamo.address().port}`);
console.log("ready");

process.stdin.resume();
await once(process.stdin, "end");
process.exit(0);
