// Signs and checks webhook deliveries with Stripe's own library, for sdk_test.go.
//
// Standard input:  {"sign": [{payload, secret, timestamp}], "check": [{payload, header, secret, now}]}
// Standard output: {"headers": [string], "accepted": [boolean]}, in the same order. Times are seconds since 1970.
import { text } from "node:stream/consumers";
import Stripe from "stripe";

const { webhooks } = new Stripe("sk_test_unused");
const { sign, check } = JSON.parse(await text(process.stdin));

const accepts = ({ payload, header, secret, now }) => {
  try {
    return webhooks.signature.verifyHeader(payload, header, secret, webhooks.DEFAULT_TOLERANCE, undefined, now * 1000);
  } catch (err) {
    if (err.type === "StripeSignatureVerificationError") return false;
    if (err.message === "secureCompare must receive two arguments") return false; // its answer to an empty v1
    throw err;
  }
};

console.log(
  JSON.stringify({
    headers: sign.map((delivery) => webhooks.generateTestHeaderString(delivery)),
    accepted: check.map(accepts),
  }),
);
