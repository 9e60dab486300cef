// Sends what the handlers asked for to the provider, each request under its own key, until the
// provider says yes. One that dies in between asks again: the key makes that harmless.
const { Pool } = require('pg');

const pool = new Pool({ connectionString: process.env.DATABASE_URL, max: 2 });
pool.on('error', () => {});
const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

async function sendSome() {
  const { rows } = await pool.query(
    `SELECT id, shop, order_id, idempotency_key, lines FROM fulfillment_requests
     WHERE sent_at IS NULL ORDER BY id LIMIT 20`,
  );
  await Promise.all(
    rows.map(async ({ id, shop, order_id, idempotency_key, lines }) => {
      const answer = await fetch(process.env.FULFILLMENT_URL, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json', 'Idempotency-Key': idempotency_key },
        body: JSON.stringify({ shop, order_id, lines }),
        signal: AbortSignal.timeout(5000),
      });
      await answer.arrayBuffer();
      if (answer.ok) {
        await pool.query('UPDATE fulfillment_requests SET sent_at = now() WHERE id = $1', [id]);
      }
    }),
  );
  return rows.length;
}

(async () => {
  for (;;) {
    const sent = await sendSome().catch((error) => console.error(error.message));
    if (!sent) await pause(50);
  }
})();
