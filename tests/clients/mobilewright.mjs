// Drives mobilewright's FleetApiClient from a test: reads calls as JSON lines ["method", argument…] and writes one line for
// each, {"result"} or {"error"}, in the order of the calls.
import { createInterface } from 'node:readline';
import { FleetApiClient } from '@mobilewright/driver-mobilenext';

const client = new FleetApiClient({ apiUrl: process.env.API_URL, apiKey: process.env.API_KEY, allocationTimeout: 60_000 });

for await (const line of createInterface({ input: process.stdin })) {
  const [method, ...parameters] = JSON.parse(line);
  const answer = await client[method](...parameters).then(
    (result) => ({ result }),
    (error) => ({ error: error.message }),
  );
  process.stdout.write(JSON.stringify(answer) + '\n');
}
