// The functions of numbers that a model is made of.

/** The error function, to 1.5e-7: Abramowitz and Stegun 1964, 7.1.26. */
export function erf(x) {
  const t = 1 / (1 + 0.3275911 * Math.abs(x));
  const tail =
    t *
    (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  return Math.sign(x) * (1 - tail * Math.exp(-x * x));
}

export const sigmoid = (x) => 1 / (1 + Math.exp(-x));

/** ln Σ exp over `logits`. */
export function logSumExp(logits) {
  let most = -Infinity;
  for (const logit of logits) if (logit > most) most = logit;
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - most);
  return most + Math.log(sum);
}
