"""The customers, terminals and thieves behind `card_transactions`, day by day; every draw of a day hangs on the seed and that day alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from finflow.pipelines.sources.simulated.draws import Float64, Int64

if TYPE_CHECKING:
    from finflow.pipelines.sources.simulated.card_transactions import CardTransactionsSource


#: name to (share of terminals, factor on amounts)
CATEGORIES = {
    "grocery": (0.28, 0.8),
    "restaurant": (0.20, 0.7),
    "fuel": (0.10, 1.1),
    "clothing": (0.14, 1.3),
    "health": (0.08, 0.9),
    "entertainment": (0.08, 0.8),
    "electronics": (0.07, 2.5),
    "travel": (0.05, 4.0),
}
CHANNELS = ("chip", "contactless", "online")
ONLINE = 2
#: of all fraud, by compromised terminals, by stolen cards, by single online purchases
SCENARIOS = (0.45, 0.35, 0.20)
SHARE_AT_COMPROMISED = 1 / 3
STOLEN_DAYS, STOLEN_A_DAY = 4.0, 3.0  # means
STOLEN_FACTOR, SINGLE_FACTOR = 3.0, 6.0
HABITUAL = 20  # terminals near the home
WEEK = np.array([0.9, 0.9, 0.95, 1.0, 1.15, 1.25, 0.85])  # Monday first
_CHUNK = 500  # homes whose distances to all terminals are held at once
_DAY = 86_400


@dataclass(frozen=True, eq=False)
class Day:
    """One day's transactions, [n], sorted by customer and second.

    Attributes:
        customer, terminal, channel: int64 codes.
        second: int64; of the day, different within a customer.
        amount: float64, two decimals.
        fraud: bool.
        delay: int64; seconds until the label is known, -1 where it never is.
    """

    customer: Int64
    terminal: Int64
    channel: Int64
    second: Int64
    amount: Float64
    fraud: NDArray[np.bool_]
    delay: Int64


@dataclass(frozen=True, eq=False)
class World:
    """What stays the same from day to day.

    Attributes:
        category: int64, [terminals].
        near: int64, [customers, HABITUAL]; the terminals nearest to each home.
        rate: float64, [customers]; transactions a day.
        level, spread: float64, [customers]; mean and standard deviation of the logarithm of amounts.
        hour: float64, [customers]; around which the customer buys.
        online: float64, [customers]; share of online purchases.
    """

    settings: CardTransactionsSource
    category: Int64
    near: Int64
    rate: Float64
    level: Float64
    spread: Float64
    hour: Float64
    online: Float64

    def transactions(self, day: int) -> Day:
        """The transactions of a day, numbered from 0."""
        random = np.random.default_rng([self.settings.seed, 1, day])
        weekday = (self.settings.start.weekday() + day) % 7
        customer = np.repeat(np.arange(len(self.rate)), random.poisson(self.rate * WEEK[weekday]))
        terminal, channel = self._places(customer, random)
        amount = self._amounts(customer, terminal, random)
        second = (random.normal(self.hour[customer], 3.5) * 3600).astype(np.int64) % _DAY
        fraud = self._compromised(day)[terminal] & (random.random(len(customer)) < SHARE_AT_COMPROMISED)
        single = random.random(len(customer)) < self._share(2)
        fraud |= single
        amount[single] *= SINGLE_FACTOR * random.lognormal(0, 0.5, int(single.sum()))
        channel[single] = ONLINE
        terminal[single] = random.integers(0, len(self.category), int(single.sum()))
        genuine = Day(customer, terminal, channel, second, amount, fraud, np.zeros_like(customer))
        return self._settled(_joined(genuine, self._stolen(day)), day)

    def _places(self, customer: Int64, random: np.random.Generator) -> tuple[Int64, Int64]:
        """Terminals (habitual ones, or any on a journey and online) and channels."""
        count = len(customer)
        habit = np.minimum(random.geometric(0.2, count) - 1, HABITUAL - 1)
        terminal = self.near[customer, habit]
        online = random.random(count) < self.online[customer]
        away = online | (random.random(count) < 0.03)
        terminal[away] = random.integers(0, len(self.category), int(away.sum()))
        return terminal, np.where(online, ONLINE, (random.random(count) < 0.6).astype(np.int64))

    def _amounts(self, customer: Int64, terminal: Int64, random: np.random.Generator) -> Float64:
        factor = np.array([one[1] for one in CATEGORIES.values()])[self.category[terminal]]
        return np.asarray(np.exp(self.level[customer] + self.spread[customer] * random.standard_normal(len(customer))) * factor)

    def _share(self, scenario: int) -> float:
        return self.settings.fraud * SCENARIOS[scenario]

    def _compromised(self, day: int) -> NDArray[np.bool_]:
        """bool, [terminals]: those that were compromised within the days before."""
        length, there = self.settings.compromised_days, np.zeros(len(self.category), dtype=bool)
        # so that of all charges the scenario's share is fraudulent, each terminal begins to be compromised at this rate a day
        rate = self._share(0) / (SHARE_AT_COMPROMISED * length)
        for begun in range(day - length + 1, day + 1):
            there |= np.random.default_rng([self.settings.seed, 2, begun + length]).random(len(there)) < rate
        return there

    def _stolen(self, day: int) -> Day:
        """What thieves buy today, with cards stolen within the days before."""
        rate = self._share(1) * self.settings.daily / (STOLEN_DAYS * STOLEN_A_DAY)
        longest = int(STOLEN_DAYS * 5)
        victims = []
        for begun in range(day - longest + 1, day + 1):
            random = np.random.default_rng([self.settings.seed, 3, begun + longest])
            taken = np.flatnonzero(random.random(len(self.rate)) < rate)
            victims.append(taken[random.geometric(1 / STOLEN_DAYS, len(taken)) > day - begun])
        random = np.random.default_rng([self.settings.seed, 4, day])
        victim = np.sort(np.concatenate(victims))
        customer = np.repeat(victim, random.poisson(STOLEN_A_DAY, len(victim)))
        count = len(customer)
        terminal = random.integers(0, len(self.category), count)
        amount = self._amounts(customer, terminal, random) * STOLEN_FACTOR * random.lognormal(0, 0.5, count)
        channel = np.where(random.random(count) < 0.5, ONLINE, 1)
        return Day(
            customer, terminal, channel, random.integers(0, _DAY, count), amount, np.ones(count, dtype=bool), np.zeros_like(customer)
        )

    def _settled(self, day: Day, number: int) -> Day:
        """Sorted, with seconds that differ within a customer, amounts in cents, and the delays of the labels."""
        random = np.random.default_rng([self.settings.seed, 5, number])
        order = np.lexsort((day.second, day.customer))
        customer, count = day.customer[order], len(order)
        busiest = int(np.bincount(customer, minlength=1).max(initial=0))
        # each at least one second after the one before it: the running maximum of second less place, customers far apart
        wanted = np.minimum(day.second[order], _DAY - 1 - busiest) + customer * (2 * _DAY)
        place = np.arange(count)
        second = np.maximum.accumulate(wanted - place) + place - customer * (2 * _DAY) if count else wanted
        days = random.lognormal(np.log(self.settings.delay_days), self.settings.delay_spread, count)
        delay = np.where(random.random(count) < self.settings.unlabelled, -1, np.maximum(days * _DAY, 60).astype(np.int64))
        amount = np.maximum(np.round(day.amount[order], 2), 0.01)
        return Day(customer, day.terminal[order], day.channel[order], second, amount, day.fraud[order], delay)


def _joined(left: Day, right: Day) -> Day:
    return Day(*(np.concatenate([getattr(left, name), getattr(right, name)]) for name in Day.__dataclass_fields__))


def make_world(settings: CardTransactionsSource) -> World:
    """Customers and terminals on a square of 100 by 100."""
    random = np.random.default_rng([settings.seed, 0])
    places = random.uniform(0, 100, (settings.terminals, 2))
    shares = np.array([one[0] for one in CATEGORIES.values()])
    category = random.choice(len(CATEGORIES), settings.terminals, p=shares)
    customers = settings.customers
    homes = random.uniform(0, 100, (customers, 2))
    return World(
        settings=settings,
        category=category,
        near=_nearest(homes, places),
        rate=settings.daily * random.gamma(3.0, 1 / 3.0, customers),
        level=random.normal(np.log(25.0), 0.5, customers),
        spread=random.uniform(0.4, 0.9, customers),
        hour=random.normal(14.0, 2.0, customers),
        online=random.beta(2.0, 8.0, customers),
    )


def _nearest(homes: Float64, places: Float64) -> Int64:
    """int64, [homes, HABITUAL]: the nearest places, the nearest first."""
    habitual = np.empty((len(homes), HABITUAL), dtype=np.int64)
    for begin in range(0, len(homes), _CHUNK):
        apart = ((homes[begin : begin + _CHUNK, None] - places) ** 2).sum(axis=2)
        nearest = np.argpartition(apart, HABITUAL - 1, axis=1)[:, :HABITUAL]
        by_distance = np.argsort(np.take_along_axis(apart, nearest, axis=1), axis=1)
        habitual[begin : begin + _CHUNK] = np.take_along_axis(nearest, by_distance, axis=1)
    return habitual
