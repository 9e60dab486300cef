// The order's own row decides who ships: whoever turns it to paid, in one statement, does. The key
// of the shipment derives from the order, so that asking for it twice is asking for it once.
module.exports = async function handle(client, { shop, webhookId, order }) {
  await client.query('BEGIN');
  const won = await client.query(
    `INSERT INTO orders (shop, order_id, status) VALUES ($1, $2, 'paid')
     ON CONFLICT (shop, order_id) DO UPDATE SET status = 'paid' WHERE orders.status = 'pending'`,
    [shop, order.id],
  );
  if (won.rowCount === 1) {
    const lines = order.line_items.map(({ sku, quantity }) => ({ sku, quantity }));
    await client.query(
      `INSERT INTO fulfillment_requests (shop, order_id, idempotency_key, lines)
       VALUES ($1, $2, $3, $4)`,
      [shop, order.id, `${shop}:${order.id}:fulfil:v1`, JSON.stringify(lines)],
    );
    await client.query(
      `INSERT INTO shopify_webhook_log (webhook_id, shop, order_id, status)
       VALUES ($1, $2, $3, 'success') ON CONFLICT (webhook_id) DO NOTHING`,
      [webhookId, shop, order.id],
    );
  }
  const done = await client.query('COMMIT');
  if (done.command !== 'COMMIT') throw new Error('the transaction was rolled back');
  return 200;
};
